"""The table of where time went says what training logged."""

from __future__ import annotations

from medvista.evaluation.tables.speed_tables import speed_tables


def logged(**values: list[float]) -> dict[str, list[tuple[int, float]]]:
    return {f"speed/{name}": list(enumerate(each)) for name, each in values.items()}


def test_seconds_are_summed_and_rates_are_medians() -> None:
    rl = logged(
        rollout_seconds=[2.0, 4.0, 3.0],
        tool_wait_seconds=[0.5, 0.5, 0.0],
        train_seconds=[1.0, 1.0, 1.5],
        generated_tokens_per_second=[900.0, 1200.0, 1000.0],
        padding_share=[0.0, 0.5, 0.25],
        peak_memory_mb=[700.0, 1800.0, 1800.0],
    )
    (table,) = speed_tables({"sft": logged(train_seconds=[1.0, 2.0]), "rl": rl, "base": {}})
    sft, found = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert found == {
        "stage": "rl",
        "rollouts s": "9.0",
        "of them tools s": "1.0",
        "reference s": "",
        "training s": "3.5",
        "generated tokens/s": "1,000",
        "trained tokens/s": "",
        "cache hits %": "",
        "padding %": "25.00",
        "encodes/image, rollout": "",
        "encodes/image, training": "",
        "peak MB": "1,800",
    }
    assert (sft["rollouts s"], sft["training s"]) == ("", "3.0")


def test_stages_that_logged_no_times_have_no_table() -> None:
    assert speed_tables({"sft": {"sft/loss": [(0, 1.0)]}}) == []
