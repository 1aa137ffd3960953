"""Does the paperwork hold? Offline checks of certificates; no learning, no database."""

from mbd.verify.report import LEVELS, CheckResult, Level, Report, worst
from mbd.verify.run import verify_bundle
from mbd.verify.trust import load_trust
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustPolicy

__all__ = [
    "LEVELS",
    "CheckResult",
    "Level",
    "Report",
    "TrustPolicy",
    "load_trust",
    "render_trust",
    "verify_bundle",
    "worst",
]
