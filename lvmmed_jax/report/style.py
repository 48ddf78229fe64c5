"""How the report looks: one style sheet for light, dark, phone and print."""

CSS = """
:root { --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --paper: #ffffff;
  --panel: #f6f8fa; --good: #0b6b4f; --bad: #a33a00; --series-0: #0072b2;
  --series-1: #d55e00; --series-2: #00805c; --series-3: #b0568a; --series-4: #a86f00;
  --series-5: #2d7fb0; color-scheme: light dark; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6edf3;
  --muted: #9da7b1; --line: #3b434c; --paper: #0d1117; --panel: #161b22;
  --good: #4fd1a5; --bad: #ffa066; --series-0: #58b4f0; --series-1: #ff8c42;
  --series-2: #2fcf9f; --series-3: #e59bc4; --series-4: #f0c04a;
  --series-5: #a5d8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.25rem; }
h3 { margin: 0 0 .25rem; font-size: 1rem; }
section > h3 { margin-top: 2rem; }
p { max-width: 75ch; overflow-wrap: anywhere; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
figcaption, .note { color: var(--muted); font-size: .875rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
.badge { display: inline-block; border: 2px solid currentColor; border-radius: 1rem;
  padding: 0 .6rem; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
td { white-space: nowrap; }
thead th { vertical-align: bottom; }
table { border-collapse: collapse; font-size: .9375rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th, tbody th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 8.5rem; }
.grid { display: grid; gap: 1.5rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--cell)), 1fr)); }
.wide { --cell: 440px; } .small { --cell: 300px; }
.pairs { --cell: 235px; } .pairs svg { background: var(--line); }
.tiles { --cell: 88px; gap: .6rem; }
.medium { max-width: 520px; }
.tiles img, .row img { width: 100%; display: block; image-rendering: pixelated; }
.tiles figcaption { text-align: center; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem;
  max-width: 720px; margin-bottom: .4rem; break-inside: avoid; }
.entry { display: inline-block; margin-right: 1rem; }
small { display: block; color: var(--muted); font-weight: 400; }
.legend { max-width: none; }
.legend:has(svg) { position: sticky; top: 0; z-index: 1; padding: .4rem 0;
  max-height: 30vh; overflow-y: auto;
  background: var(--paper); border-bottom: 1px solid var(--line); }
.legend svg { display: inline-block; width: 3.4rem; margin-right: .4rem;
  vertical-align: middle; }
.choice label { margin-right: 1rem; }
.chosen { display: none; }
.choice input:nth-of-type(1):checked ~ .chosen:nth-of-type(1),
.choice input:nth-of-type(2):checked ~ .chosen:nth-of-type(2),
.choice input:nth-of-type(3):checked ~ .chosen:nth-of-type(3) { display: block; }
.key { display: inline-block; width: .9em; height: .9em; margin-right: .3em;
  vertical-align: -.1em; }
.location { --mark: #56b4e9; } .feature { --mark: #e69f00; }
.location line, .feature line { stroke: var(--mark); stroke-width: 1; }
.feature line { stroke-dasharray: 3 2; }
.location rect, .feature rect { fill: var(--mark); stroke: #000; stroke-width: .6; }
.location text, .feature text { font-size: 9px; font-weight: 600; fill: #000;
  text-anchor: middle; }
.key.location, .key.feature { background: var(--mark); border: 1px solid #000; }
.key.location { border-radius: 50%; }
summary { cursor: pointer; padding: .3rem 0; }
details td { white-space: normal; overflow-wrap: anywhere; }
@media print { main { max-width: none; } h2, h3 { break-after: avoid; }
  html { font-size: 12px; } body { font-size: 1rem; }
  td { white-space: normal; }
  .wide { --cell: 300px; } .small { --cell: 200px; } .pairs { --cell: 150px; }
  .tiles { --cell: 60px; }
  * { print-color-adjust: exact; }
  .legend:has(svg) { position: static; max-height: none; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""
