"""What is seeded, and seeding it: an ordered, checksummed plan from fixture files into the three services."""

from __future__ import annotations

from test_framework.seeding.plan import Plan, SeedSettings, build_plan
from test_framework.seeding.report import SeedProgress, SeedReport, ServiceReport
from test_framework.seeding.runner import run, seed_all

__all__ = ["Plan", "SeedProgress", "SeedReport", "SeedSettings", "ServiceReport", "build_plan", "run", "seed_all"]
