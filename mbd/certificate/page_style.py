"""How the HTML page looks: system fonts, black on white, meaning never by colour alone.

Browsers leave backgrounds out when they print, so nothing depends on one: a page that nobody
should rely on has another border and another sign, and its verdict stands before every heading.
"""

STYLE = """
:root { --ink: #1a1a1a; --soft: #4d4d4d; --sans: "Source Sans 3", "Segoe UI", "Helvetica Neue",
  Arial, "Liberation Sans", sans-serif; --mono: "DejaVu Sans Mono", Menlo, Consolas,
  "Liberation Mono", monospace; }
* { box-sizing: border-box; }
html { background: #fff; color: var(--ink); }
body { margin: 0; font: 1rem/1.5 Charter, "Bitstream Charter", "Source Serif 4", Cambria, Georgia,
  "Liberation Serif", serif; overflow-wrap: anywhere; }
main { max-width: 54rem; margin: 0 auto; padding: 2rem 1.5rem 3rem; }
h1, h2, dt, .kind, .intro, li > b { font-family: var(--sans); }
.verdict { padding: .9em 1.3em .8em; border: 3px solid var(--ink); }
.verdict p { margin: .15em 0; }
.kind { color: var(--soft); font-size: .85em; }
h1 { margin: .12em 0 .2em; font-size: 2.1em; line-height: 1.15; letter-spacing: .03em; }
.verdict .why { margin: .3em 0; font-weight: bold; }
.valid .verdict { border: 1px solid var(--ink); border-left: 9px solid #1b6b3a; }
.valid h1 { color: #17572f; }
.not-current .verdict { border: 7px double var(--ink); }
.invalid .verdict { border: 9px solid #8f1313; }
.invalid h1, .invalid .mark { color: #8f1313; }
.undecided .verdict, .unchecked .verdict { border: 5px dashed var(--ink); }
.pair { display: grid; grid-template-columns: 3fr 2fr; gap: 0 2.2em; }
.columns { columns: 2; column-gap: 2.2em; margin-top: 1em; }
.columns section { margin-top: 0; margin-bottom: 1em; break-inside: avoid; }
section { margin-top: 1em; }
h2 { margin: 0 0 .35em; padding-top: .4em; border-top: 1.5px solid var(--ink); font-size: 1.08em;
  line-height: 1.3; break-after: avoid; }
p { margin: 0 0 .45em; orphans: 2; widows: 2; }
dl { margin: 0 0 .45em; }
dl div { display: grid; grid-template-columns: 6.2em minmax(0, 1fr); gap: .6em;
  align-items: baseline; padding: .08em 0; }
dt { color: var(--soft); font-size: .86em; }
dd { margin: 0; }
.strong dd { font-weight: bold; }
ul, ol { margin: 0 0 .45em; padding-left: 1.2em; }
li { margin: 0 0 .2em; break-inside: avoid; }
li > b { font-size: .92em; }
.intro { margin: .45em 0 .15em; font-size: .92em; font-weight: bold; break-after: avoid; }
code, #check dd { font: .82em/1.45 var(--mono); }
pre { margin: .1em 0 .2em; white-space: pre-wrap; }
#numbers dl { display: flex; flex-wrap: wrap; gap: 0 2.5em; }
#numbers dl div { display: flex; }
#check dl div { grid-template-columns: 11em minmax(0, 1fr); }
.option { white-space: nowrap; }
@media screen and (max-width: 42rem) {
  main { padding: 1rem; }
  .pair, .columns { display: block; columns: auto; }
  #check dl div { grid-template-columns: minmax(0, 1fr); gap: 0; }
}
@page { margin: 12mm 16mm 13mm; font: 8pt var(--sans); }
@media print {
  body { font-size: 9.4pt; line-height: 1.33; }
  main { max-width: none; padding: 0; }
  .columns { break-before: page; margin-top: 0; }
}
"""
