"""Networks taken apart: every tensor in one part, found by asking the network."""

from __future__ import annotations

import pytest
from representatives import REPRESENTATIVES
