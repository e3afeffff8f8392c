"""Two hosts, one of which is cut off for a while: the run is byte for byte the serial one."""

import threading
import time

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from harness.execution.status import run_status

from .clusters import Cluster
from .hosts import HERE, INSIDE, NAME, missing, second_host
from .support import HONEST, PATIENCE, ends, request, soon, waiting_for
from .test_dask import assert_same, on_cluster, serial_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NOTICED = 11  # seconds until dask takes a silent connection for broken: the least that it allows
SETTINGS = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{NOTICED}s", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
NAMED = ("sh", "-c", f'hostname {NAME} && exec "$@"', "sh")


@pytest.fixture(autouse=True, scope="module")
def _two_hosts_are_possible():
    if why := missing():
        pytest.skip(why)


@pytest.mark.parametrize("seconds", [1, 3 * NOTICED], ids=["too short to be noticed", "until it is given up"])
def test_a_host_that_is_cut_off_for_a_while(tmp_path, seconds):
    """Its unit ends once: there, or, when the cut is noticed, on the other host. The head, the scheduler and a worker are here;
    another worker is there. It is cut off while it is in a unit, which goes on when the cable is in again."""
    go = tmp_path / "go"
    behaviours = {"first": waiting_for(go), "second": waiting_for(go), **{f"m{i}": HONEST for i in range(4)}}
    asked, trouble, met = request(tmp_path, behaviours), [], []

    def there():
        folders = [path.parent.parent for path in tmp_path.glob("runs/*/jobs/job.json")]
        return [each.begun for folder in folders for each in run_status(folder).running if each.begun.host == NAME]

    with (
        second_host() as cable,
        Cluster(tmp_path / "cluster", 2, HERE, {1: (*INSIDE, *NAMED)}, SETTINGS) as cluster,
    ):

        def cut():
            try:
                if not soon(there):
                    trouble.append("nothing was begun there")
                met.extend(there())
                cable("down")
                time.sleep(seconds)
                if seconds > NOTICED and not soon(lambda: cluster.restarts):
                    trouble.append("the cut was not noticed")
                cable("up")
            finally:
                go.touch()

        cutting = threading.Thread(target=cut, daemon=True)
        cutting.start()
        result = on_cluster(asked, cluster.address, retries=5)
        cutting.join(PATIENCE)
        restarts = cluster.restarts
    assert not trouble
    assert len(met) == 1
    assert (restarts > 0) is (seconds > NOTICED)
    assert ends(result) == dict.fromkeys(behaviours, ("ok", ""))
    assert_same(result.folder, serial_of(asked, tmp_path / "serial"))
