"""The app's settings that prevent measured faults, and its two queues."""

from pathlib import Path

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings


def test_results_are_not_kept_and_only_json_is_accepted(tmp_path: Path) -> None:
    conf = make_app(BrokerSettings(home=tmp_path, broker_url=None)).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_acks_late is False
    assert conf.result_backend is None
    assert conf.task_ignore_result is True
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_enable_remote_control is False
    assert conf.broker_connection_max_retries is None
    assert [queue.name for queue in conf.task_queues] == ["jobs", "reaper"]


def test_redis_has_timeouts_and_no_prefetch() -> None:
    conf = make_app(BrokerSettings(broker_url="redis://host/0")).conf
    assert conf.worker_disable_prefetch is True
    assert conf.broker_transport_options["socket_timeout"] <= 5
    assert conf.broker_transport_options["socket_connect_timeout"] <= 5
