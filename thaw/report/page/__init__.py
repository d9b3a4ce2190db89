"""The report as one HTML page that needs no network and works without scripts.

``page.js`` uses ``plotly-basic-4.1.1.min.js``: the basic bundle of plotly.js, MIT license, as it is
in the npm package plotly.js-basic-dist-min 4.1.1. A test compares it with plotly-basic.sha256.
"""

from thaw.report.page.document import page

__all__ = ["page"]
