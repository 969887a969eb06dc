"""A Hub to test against: as hub-protocol says it, on loopback, with faults on demand.

    with Hub() as hub:
        repo = hub.add_repo("acme-lab/tiny", {"a.txt": "a", "m.bin": Generated(1, 300 << 20)})
        hub.fault(origin="cdn", drop_after=1000)
        ... run a client with HF_ENDPOINT=hub.endpoint and SSL_CERT_FILE=hub.ca_file ...
        assert not hub.violations
"""

from .content import Bytes, Content, File, Generated
from .hub import Hub
from .proxy import Proxy
from .store import Lfs, Regular, Repo
from .trap import Trap
from .xet import mixed

__all__ = ["Bytes", "Content", "File", "Generated", "Hub", "Lfs", "Proxy", "Regular", "Repo", "Trap",
           "mixed"]
