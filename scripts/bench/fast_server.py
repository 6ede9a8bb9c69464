"""The least that can be called a server: answers every POST at once with one fixed success. For benchmarks only."""

import asyncio
import json
import sys

import uvloop

BODY = json.dumps({"success": True, "data": {}, "metadata": {}}).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-correlation-id: req_1795508424284_9r07mxd2p\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY)
) + BODY


class Server(asyncio.Protocol):
    """One connection; a request is over when its body is as long as its head says."""

    def connection_made(self, transport):
        """Keep the transport."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data):
        """Answer every whole request in the buffer."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            at = self.buffer.lower().find(b"content-length:", 0, end)
            length = int(self.buffer[at + 15 : self.buffer.find(b"\r\n", at)]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(ANSWER)


async def main():
    """Serve on a free port until standard input ends."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


uvloop.run(main())
