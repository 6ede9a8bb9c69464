"""The reference gateway: what a soak is rehearsed against, and the measure of the contract suite.

It answers on the wire as the real 4Runr Gateway does in mock mode, closely enough that a rehearsal predicts
the real day, and it imports nothing else of soaklib. Start it with ``python -m soaklib.gateway``.

========================  ==================================================================================
module                    noun
========================  ==================================================================================
``settings``              the command line as one frozen value
``faults``                the one table of faults a test can switch on, and their budgets
``quirks``                the warts of the real gateway, one flag each
``clock``                 wall and monotonic time, soak seconds, ISO timestamps
``breaker``               protection of each tool; its bulkhead is a semaphore
``retry`` ``limiter``     backoff; calls an agent may make
``quota`` ``cache``       policy counters in aligned windows; answers kept for a while
``chaos`` ``growth``      failures asked for by an admin; memory and latency that grow on purpose
``tools`` ``parameters``  the mock upstreams, and what they accept
``agents`` ``tokens``     identities; signed, expiring, revocable tokens
``policy_spec``           the schema of a policy and the merging of several
``policies``              the policies that exist, and the decision on a call
``response_filters``      redaction, truncation and blocking of answers
``credentials``           tool credentials, of which only fingerprints are kept
``metrics``               the documented metrics; ``wart_exposition`` has the malformed ones
``records``               what the database and the in-memory logs hold: the data dictionary
``database``              SQLite and PostgreSQL behind one interface
``request_log``           rows to the database in batches, off the request path
``state``                 everything a restart forgets, in one object
``admission``             the ordered checks before a call is executed
``execution``             cache, breaker, bulkhead, chaos, retry, tool, in that order
``wire``                  HTTP: bodies, answers, routes
``app`` ``server``        the aiohttp application; listening, signals, exit
========================  ==================================================================================
"""
