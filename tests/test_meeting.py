"""How processes meet: who is let in, and what is said where they do not come or are not alike."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contractive.distributed import _meeting
from contractive.distributed._meeting import _HELLO, _PORT, _WORD, Place, found_place, meet
from launching import free_port


def come(port: int, content: bytes) -> socket.socket:
    """Someone who says something to process 0, as soon as it listens."""
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            continue
        connection.sendall(content)
        return connection


@pytest.fixture
def waiting() -> Any:
    """Process 0 of 2, waiting in a thread: its port, and what it comes to."""
    port = free_port()
    with ThreadPoolExecutor(1) as pool:
        yield port, pool.submit(meet, Place("127.0.0.1", port, 2, 0), 20)


def test_two_processes_meet_and_strangers_are_sent_away(waiting: Any):
    port, result = waiting
    strangers = [b"GET / HTTP/1.1\r\n\r\n", _HELLO.pack(b"another!", 1, 2), _HELLO.pack(_WORD, 2, 2), b"contract"]
    for content in strangers:
        with come(port, content) as stranger:
            try:
                stranger.shutdown(socket.SHUT_WR)
                assert stranger.recv(100) == b""
            except OSError:  # sent away before it had ended, or before all that it said was read
                pass
    there, jax_port = meet(Place("127.0.0.1", port, 2, 1), 20)
    here, own_port = result.result()
    assert (list(here.values()), list(there.values())) == ([1], [0])
    assert own_port == jax_port != port
    for connection in (*here, *there):
        connection.close()


def test_processes_of_another_number_are_refused(waiting: Any):
    port, result = waiting
    with come(port, _HELLO.pack(_WORD, 1, 3)):
        with pytest.raises(ValueError, match="`n_processes` must be the same everywhere; got 2 and 3"):
            result.result()


def test_port_that_is_taken_is_named():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"process 0 cannot listen at port {port}: "):
            meet(Place("127.0.0.1", port, 2, 0), 1)


def test_process_0_that_leaves_is_told_from_one_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as leaving:
        port = leaving.getsockname()[1]

        def leave() -> None:
            connection, _ = leaving.accept()
            connection.recv(_HELLO.size)
            connection.sendall(_PORT.pack(1)[:2])
            connection.close()

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(ConnectionError, match=f"process 0 at 127.0.0.1:{port} left before all 2 had come"):
            meet(Place("127.0.0.1", port, 2, 1), 5)
        thread.join()


def test_cluster_that_does_not_know_its_processes_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch):
    class Cluster:
        @staticmethod
        def auto_detect_unset_distributed_params(*arguments: object) -> None:
            raise RuntimeError("no node list")

    monkeypatch.setattr(_meeting, "ClusterEnv", Cluster)
    with pytest.raises(ValueError, match=r"the cluster does not say .*\(no node list\)\. Give --coordinator HOST:PORT"):
        found_place(None, None, None, 1)
