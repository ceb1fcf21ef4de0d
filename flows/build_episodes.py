"""Flow: validated dataset -> episode index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from flows.running import run_script
from flows.scripts import add_params_argument, add_report_argument, make_parser
from flows.steps import step
from flows.validate_data import require_valid_datasets
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.service.benchmarking import EpisodeRequest, build_index
from sgps.service.parameters import parse_request, read_section


class BuildEpisodesRequest(BaseModel):
    """Which episodes to draw, and where the report on their dataset goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    episodes: EpisodeRequest
    report: Path = Field(
        default=Path("reports/validation.html"), description="HTML file of the report."
    )


@step("index_episodes", version=TASK_VERSIONS["index_episodes"])
def index_episodes(request: EpisodeRequest) -> dict[str, Any]:
    """Draw the episodes and write the index."""
    index = build_index(request)
    return {"index": str(request.index), "digest": index.digest, "episodes": len(index.episodes)}


@flow(name="build_episodes", version=FLOW_VERSIONS["build_episodes"])
def build_episodes(request: BuildEpisodesRequest) -> dict[str, Any]:
    """Check the dataset, then draw the episodes."""
    episodes = request.episodes
    require_valid_datasets(episodes.root, (episodes.dataset,), request.report)
    return index_episodes(episodes)


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "build_episodes",
        "Draw the episodes of a benchmark from a validated dataset.",
        "python -m flows.build_episodes --params params.yaml --out reports/episodes.json",
    )
    add_params_argument(parser, "episodes")
    parser.add_argument("--out", type=Path, required=True, help="file of the episode index")
    add_report_argument(parser)
    options = parser.parse_args()

    def run() -> dict[str, Any]:
        values = {**read_section(options.params, "episodes"), "index": options.out}
        episodes = parse_request(EpisodeRequest, values)
        return build_episodes(BuildEpisodesRequest(episodes=episodes, report=options.report))

    return run_script(run)


if __name__ == "__main__":
    sys.exit(main())
