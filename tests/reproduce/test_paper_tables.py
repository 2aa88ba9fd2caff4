"""The paper's tables as data: rows, trainings, columns and claims that fit each other and the published values."""

from pathlib import Path

import pytest

from xdancer.application import config_path
from xdancer.errors import XDancerError
from xdancer.reproduce.paper_plan import built_rows
from xdancer.reproduce.paper_tables import BAILANDO, DISTANCE, DIVERSITY, PAPER_TABLES, TRAININGS, Block, find_table

BLOCKS = [pytest.param(block, id=block.title) for table in PAPER_TABLES.values() for block in table.blocks]


@pytest.mark.parametrize("block", BLOCKS)
def test_claims_speak_of_rows_and_columns_that_are_there(block: Block) -> None:
    assert block.reference in block.rows
    assert len(set(map(str, block.claims))) == len(block.claims)
    for claim in block.claims:
        assert {claim.first, claim.second} <= set(block.rows), claim
        assert claim.column in block.columns, claim
    for row in block.rows.values():
        assert set(row.trained) <= set(TRAININGS)
        assert set(row.paper) <= set(block.columns)
        assert all(block.columns[column].stands_for for column in row.paper)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_papers_claims_are_what_its_values_say(block: Block) -> None:
    claims = [claim for claim in block.claims if claim.source == "paper"]
    assert claims
    for claim in claims:
        first, second = (block.rows[row].paper[claim.column] for row in (claim.first, claim.second))
        for a, b in zip(first, second, strict=True):  # in-house and AIST, or both of the paper's distances
            assert a > b if claim.order == "above" else a < b, claim


def test_the_papers_values_stand_in_their_rows() -> None:
    first, third = PAPER_TABLES[1].blocks[0].rows, PAPER_TABLES[3].blocks[0].rows
    assert first["X-Dancer"].paper == {DISTANCE: (238.22, 531.52), DIVERSITY: (28.08, 25.61), BAILANDO: (0.21, 0.23)}
    assert third["full"].paper == {DISTANCE: (238.22,), DIVERSITY: (28.08,), BAILANDO: (0.2182,)}
    assert first["X-Dancer"].trained == third["full"].trained  # one training for both tables
    unbuilt = {name for table in PAPER_TABLES.values() for block in table.blocks for name in block.rows if name not in built_rows(table)}
    assert unbuilt == {"Hallo", "Bailando", "EDGE", "EDGE + PG"}


def test_row_names_are_unique_in_a_table() -> None:
    for table in PAPER_TABLES.values():
        names = [name for block in table.blocks for name in block.rows]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", list(TRAININGS))
def test_a_training_names_a_config_and_a_tokenizer(name: str) -> None:
    assert config_path(TRAININGS[name].config).is_file()
    upstream = TRAININGS[name].tokenizer
    assert upstream is None or Path(TRAININGS[upstream].config).name == "vqvae.yaml"


@pytest.mark.parametrize("number", [0, 5])
def test_other_tables_are_refused(number: int) -> None:
    with pytest.raises(XDancerError, match=f"--table {number}: the paper's result tables are 1 to 4 .*3: motion ablation"):
        find_table(number)
