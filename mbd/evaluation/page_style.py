"""How the report looks: one column of text, plots in pairs, tables that print."""

STYLE = """
:root { --ink: #111827; --soft: #4b5563; --faint: #6b7280; --line: #e5e7eb;
  --sans: "Source Sans 3", "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  --mono: "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace; }
* { box-sizing: border-box; }
html { background: #fff; color: var(--ink); color-scheme: light; }
body { margin: 0; font: 1rem/1.5 var(--sans); overflow-wrap: anywhere; }
main { max-width: 66rem; margin: 0 auto; padding: 2.4rem 1.6rem 4rem; }
h1 { margin: 0 0 .3rem; font-size: 2.1rem; line-height: 1.15; letter-spacing: -.01em; }
h2 { margin: 0 0 .35rem; padding-top: .9rem; border-top: 2px solid var(--ink);
  font-size: 1.32rem; line-height: 1.25; break-after: avoid; }
h3 { margin: 1.1rem 0 .2rem; font-size: 1.02rem; break-after: avoid; }
p { margin: 0 0 .6rem; max-width: 46rem; }
.top { break-inside: avoid; break-after: avoid; }
section.top { break-after: auto; }
.warning { padding: .5rem .8rem; border-left: 4px solid var(--ink); font-weight: 600; }
.kind { margin: 0; color: var(--faint); font-size: .9rem; }
.lead { color: var(--soft); font-size: 1.06rem; }
section { margin-top: 2.4rem; }
dl { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .7rem 1.6rem;
  margin: 1.1rem 0 0; }
dt { color: var(--faint); font-size: .8rem; }
dd { margin: 0; font-weight: 600; }
code { font: .82em var(--mono); font-weight: 400; }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .8rem 2rem;
  margin: .2rem 0 .8rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { margin-bottom: .1rem; font-weight: 600; font-size: .95rem; }
figcaption span { color: var(--faint); font-weight: 400; }
svg { display: block; width: 100%; height: auto; font-family: var(--sans); }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.3rem; margin: .5rem 0 .3rem;
  max-width: none; color: var(--soft); font-size: .88rem; break-after: avoid; }
.key span { display: inline-flex; align-items: center; gap: .45rem; }
.key svg { width: 28px; height: 14px; flex: none; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .84rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th { padding: .3rem .55rem .3rem 0; border-bottom: 1.5px solid var(--ink); color: var(--soft);
  font-weight: 600; text-align: left; vertical-align: bottom; }
td { padding: .24rem .55rem .24rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.num { text-align: right; white-space: nowrap; }
th.num { white-space: normal; }
td i { margin-right: .6em; color: var(--faint); font-size: .88em; font-style: normal; }
.constant td { color: var(--faint); border-bottom: 0; }
td small { display: block; color: var(--faint); font-size: .92em; }
td code { padding-left: .5em; font-size: .88em; color: var(--faint); }
th:last-child { padding-left: .5em; }
.note, .digest { color: var(--soft); font-size: .86rem; }
.digest { margin-top: .5rem; max-width: none; }
#method p { color: var(--soft); font-size: .94rem; }
@media (max-width: 44rem) {
  main { padding: 1.2rem 1rem 3rem; }
  dl { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .grid { grid-template-columns: minmax(0, 1fr); }
}
@page { margin: 14mm; }
@media print {
  html { font-size: 9.4pt; }
  main { max-width: none; padding: 0; }
  p { orphans: 3; widows: 3; }
  section { margin-top: 1.3rem; }
  table { font-size: 7.6pt; }
  svg, svg * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
