"""The works that the methods of the paper come from."""

from __future__ import annotations

from typing import Final

from soaklib.whitepaper.document import References, Section

__all__ = ["WORKS", "references"]

WORKS: Final = {
    "schroeder2006": "B. Schroeder, A. Wierman, M. Harchol-Balter. Open versus closed: a cautionary tale. NSDI 2006, "
    "pages 239-252.",
    "tene2013": "G. Tene. How NOT to measure latency. Talk, Strange Loop 2013.",
    "clopper1934": "C. J. Clopper, E. S. Pearson. The use of confidence or fiducial limits illustrated in the case of "
    "the binomial. Biometrika 26 (1934), pages 404-413.",
    "korn1998": "E. L. Korn, B. I. Graubard. Confidence intervals for proportions with small expected number of "
    "positive counts estimated from survey data. Survey Methodology 24 (1998), pages 193-201.",
    "buhlmann1997": "P. B\N{LATIN SMALL LETTER U WITH DIAERESIS}hlmann. Sieve bootstrap for time series. Bernoulli 3 "
    "(1997), pages 123-148.",
    "sen1968": "P. K. Sen. Estimates of the regression coefficient based on Kendall's tau. Journal of the American "
    "Statistical Association 63 (1968), pages 1379-1389.",
    "schuirmann1987": "D. J. Schuirmann. A comparison of the two one-sided tests procedure and the power approach for "
    "assessing the equivalence of average bioavailability. Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), "
    "pages 657-680.",
    "beyer2018": "B. Beyer, N. R. Murphy, D. K. Rensin, K. Kawahara, S. Thorne (editors). The site reliability "
    "workbook. O'Reilly 2018, chapter 5.",
}
"""Key -> the work, in the order in which the text comes to them."""


def references() -> Section:
    """Give the section."""
    return Section("References", (References(tuple(WORKS.items())),), is_numbered=False)
