"""The style of the app: a light and a dark palette, and an icon that needs no network."""

from __future__ import annotations

THEME: dict[str, object] = {
    "theme.baseFontSize": 15,
    "theme.baseRadius": "small",
    "theme.headingFontSizes": ["1.5rem", "1.2rem", "1.05rem", "1rem", "1rem", "1rem"],
    "theme.headingFontWeights": [650, 650, 600, 600, 600, 600],
    # blue and sky blue of Okabe and Ito: distinct for the common colour blindnesses, and 4.5:1 on their ground
    "theme.light.primaryColor": "#0067a3",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f4f5f6",
    "theme.light.textColor": "#1c2024",
    "theme.light.borderColor": "#dcdfe3",
    "theme.dark.primaryColor": "#56b4e9",
    "theme.dark.backgroundColor": "#131517",
    "theme.dark.secondaryBackgroundColor": "#1b1e21",
    "theme.dark.textColor": "#e7e9eb",
    "theme.dark.borderColor": "#2f353b",
}

# an icon by name would be fetched from a server on the internet
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#0067a3"/>
<path d="M6 13v6M11 8v16M16 11v10M21 5v22M26 12v8" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/></svg>"""

STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 4rem 1.6rem 2rem; }
[data-testid="stSidebarHeader"] { height: 2.6rem; padding-top: 0.4rem; padding-bottom: 0; }
[data-testid="stSidebarUserContent"] { padding-bottom: 1.5rem; }
</style>"""
