"""Memory that grows on purpose, so that a drift detector has something true to find."""

_BLOCK_BYTES = 64 * 1024


class Growth:
    """Holds on to memory that is really resident: every page is written.

    Parameters
    ----------
    cap_bytes
        It never holds more.
    """

    def __init__(self, cap_bytes: int = 4 * 1024**3) -> None:
        self._cap_bytes = cap_bytes
        self._blocks: list[bytes] = []

    @property
    def held_bytes(self) -> int:
        """Bytes held at present."""
        return len(self._blocks) * _BLOCK_BYTES

    def grow_to(self, wanted_bytes: float) -> None:
        """Hold at least ``wanted_bytes``, in whole blocks of 64 KiB, never beyond the cap."""
        blocks = int(min(wanted_bytes, self._cap_bytes)) // _BLOCK_BYTES
        while len(self._blocks) < blocks:
            # A block of zeros could be a mapping that no page backs; ones have to be written.
            self._blocks.append(b"\x01" * _BLOCK_BYTES)
