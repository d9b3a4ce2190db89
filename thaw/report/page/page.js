"use strict";
// Tables: a heading sorts its column, first upwards, then downwards. Empty cells stay last.
function cellValue(row, column) {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return { text, number, isEmpty: text === "" || text === "n/a" || text === "missing" };
}

function compareCells(first, second, isText) {
  if (isText) return first.text.localeCompare(second.text, undefined, { numeric: true });
  return first.number - second.number;
}

function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: cellValue(row, column) }));
  const there = rows.filter((entry) => !entry.value.isEmpty);
  const empty = rows.filter((entry) => entry.value.isEmpty);
  const isText = there.some((entry) => Number.isNaN(entry.value.number));
  there.sort((a, b) => direction * compareCells(a.value, b.value, isText));
  body.append(...[...there, ...empty].map((entry) => entry.row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const isUp = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", isUp ? "descending" : "ascending");
      sortTable(table, column, isUp ? -1 : 1);
    });
  });
}

// Tables that are wider than the page say so.
function markCutTables() {
  for (const box of document.querySelectorAll(".wide")) {
    box.classList.toggle("cut", box.scrollWidth > box.clientWidth + 1);
  }
}
addEventListener("resize", markCutTables);
document.addEventListener("toggle", markCutTables, true);
markCutTables();

// On paper, everything is open.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    fold.dataset.opened = "";
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-opened]")) {
    fold.open = false;
    delete fold.dataset.opened;
  }
});

// Learning curves. All averages come from the page's data; a button only hides lines.
const block = document.getElementById("curves");
const hidden = new Set();
let showsSeeds = false;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function faded(look, share) {
  const hex = color(`--look-${look}`);
  const parts = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return `rgba(${parts.join(",")},${share})`;
}

function plain(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function hoverText(curve, place) {
  const low = curve.low[place];
  const high = curve.high[place];
  const seeds = Array.isArray(curve.n) ? curve.n[place] : curve.n;
  const interval = low === null || high === null ? "no interval" : `[${low}, ${high}]`;
  return `${curve.y[place]} ${interval}, ${seeds} seed${seeds === 1 ? "" : "s"}`;
}

// Where a bound is missing, the band has a gap: each stretch is a closed outline.
function outline(steps, curve) {
  const x = [];
  const y = [];
  let start = 0;
  for (let place = 0; place <= steps.length; place += 1) {
    const isThere = place < steps.length && curve.low[place] !== null && curve.high[place] !== null;
    if (isThere) continue;
    if (place - start > 1) {
      const part = steps.slice(start, place);
      x.push(...part, ...part.toReversed(), null);
      y.push(...curve.high.slice(start, place), ...curve.low.slice(start, place).toReversed(), null);
    }
    start = place + 1;
  }
  return { x, y };
}

function tracesOf(panel, conditions) {
  const traces = [];
  const isShown = (look) => !hidden.has(look);
  for (const curve of panel.curves) {
    traces.push({
      ...outline(panel.grids[curve.x], curve), fill: "toself", fillcolor: faded(curve.look, 0.16),
      mode: "lines", line: { width: 0, color: color(`--look-${curve.look}`) }, hoverinfo: "skip",
      visible: isShown(curve.look),
      meta: { kind: "band", look: curve.look },
    });
  }
  for (const line of panel.seeds) {
    traces.push({
      x: panel.grids[line.x], y: line.y, mode: "lines", hoverinfo: "skip",
      line: { width: 0.8, color: faded(line.look, 0.55) },
      visible: showsSeeds && isShown(line.look),
      meta: { kind: "seed", look: line.look, seed: line.seed },
    });
  }
  for (const curve of panel.curves) {
    const { name, dash } = conditions[curve.look];
    const steps = panel.grids[curve.x];
    traces.push({
      x: steps, y: curve.y, mode: steps.length > 1 ? "lines" : "markers", name: plain(name),
      line: { width: 2, color: color(`--look-${curve.look}`), dash: dash.map((d) => `${d}px`).join() },
      marker: { color: color(`--look-${curve.look}`) },
      text: steps.map((_, place) => hoverText(curve, place)),
      hovertemplate: "%{fullData.name}: %{text}<extra></extra>", visible: isShown(curve.look),
      meta: { kind: "mean", look: curve.look },
    });
  }
  return traces;
}

function layoutOf(panel) {
  const axis = { gridcolor: color("--line"), zeroline: false, linecolor: color("--soft") };
  return {
    margin: { l: 52, r: 8, t: 6, b: 40 }, showlegend: false, hovermode: "x unified",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "zoom",
    font: { color: color("--soft"), size: 11, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: color("--paper"), font: { color: color("--ink") } },
    xaxis: { ...axis, range: [0, panel.last], title: { text: "Agent steps after transfer" } },
    yaxis: { ...axis, range: panel.range },
  };
}

function drawPanel(figure, panel, conditions) {
  const place = figure.querySelector(".live") ?? document.createElement("div");
  place.className = "live";
  place.setAttribute("aria-hidden", "true"); // the SVG below and the tables say the same
  const still = figure.querySelector("svg.static");
  still.before(place);
  figure.classList.add("drawn");
  const options = { displayModeBar: false, responsive: true };
  return Plotly.react(place, tracesOf(panel, conditions), layoutOf(panel), options);
}

async function drawAll(data, figures) {
  for (const [number, figure] of figures.entries()) {
    await drawPanel(figure, data.panels[number], data.conditions);
    await new Promise((next) => setTimeout(next)); // the page stays responsive between panels
  }
  document.documentElement.dataset.curves = "drawn";
}

function button(content, isPressed, whenPressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(...content);
  made.setAttribute("aria-pressed", String(isPressed));
  made.addEventListener("click", () => {
    const pressed = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-pressed", String(pressed));
    whenPressed(pressed);
  });
  return made;
}

if (block !== null && window.Plotly) {
  const data = JSON.parse(block.textContent);
  const figures = [...document.querySelectorAll("figure[data-panel]")];
  const setVisible = () => {
    for (const figure of figures) {
      const place = figure.querySelector(".live");
      if (place === null || !place.data) continue;
      const visible = place.data.map(
        ({ meta }) => !hidden.has(meta.look) && (meta.kind !== "seed" || showsSeeds),
      );
      Plotly.restyle(place, { visible });
    }
  };
  const legend = document.querySelector(".legend");
  for (const item of legend.querySelectorAll("li")) {
    const look = Number(item.dataset.look);
    item.append(button(item.childNodes, true, (isPressed) => {
      if (isPressed) hidden.delete(look);
      else hidden.add(look);
      setVisible();
    }));
  }
  if (data.panels.some((panel) => panel.seeds.length)) {
    const seeds = button(["Single seeds"], false, (isPressed) => {
      showsSeeds = isPressed;
      setVisible();
    });
    seeds.className = "seeds";
    const item = document.createElement("li");
    item.append(seeds);
    legend.append(item);
  }
  drawAll(data, figures);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawAll(data, figures);
  });
}
