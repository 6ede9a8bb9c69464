"use strict";
// Draws the page from its data. Text of a run reaches the page as text nodes and chart labels alone, never as markup.
(() => {
  const $ = id => document.getElementById(id);
  const content = JSON.parse($("data").textContent);
  let pages = content.pages;
  const several = pages.length > 1;
  const COLOURS = {light: ["#0b5cad", "#b45309", "#1a7f4b", "#9c2f8f", "#6b6b00", "#00788a", "#a33"],
                   dark: ["#6cb6ff", "#f0a04b", "#5fd38d", "#e58fd8", "#d6d65c", "#4fd0e0", "#ff8a80"]};
  const ALL = "all tools";
  const DASHES = {p50: [], p90: [6, 3], p99: [2, 2]};
  const KIND_COLOURS = {ok: 2, denied: 3, rate_limited: 4, fast_fail: 1, upstream_error: 6, timeout: 5, transport_error: 6};
  const off = {tool: new Set(), latency: null, kind: new Set(), phase: new Set(), percentile: new Set(["p90"])};
  const PANELS = several ? ["success", "latency"] : ["success", "latency", "strip", "kinds", "tools"];
  let range = null, series = [], chosen = null, figures = [];

  const theme = () => document.documentElement.dataset.theme;
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = place => COLOURS[theme()][place % COLOURS.light.length];
  const digits = value => {  // a share that is not whole is never told as 100
    let many = 5;
    while (value !== 100 && Number(value.toPrecision(many)) === 100 && many < 15) many += 1;
    return many;
  };
  const number = value => value === null || value === undefined ? "–"
    : Math.abs(value) >= 1e5 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(Math.abs(value) < 1 ? 3 : digits(value))));
  const hours = seconds => {  // as soak_text of soak_times.py says it
    const whole = Math.round(Math.abs(seconds)), two = value => String(value).padStart(2, "0"), minutes = Math.floor(whole / 60) % 60;
    return `H${seconds < 0 && whole ? "−" : "+"}${Math.floor(whole / 3600)}`
      + (whole % 60 ? `:${two(minutes)}:${two(whole % 60)}` : minutes ? `:${two(minutes)}` : "");
  };
  const end = () => Math.max(...pages.map(page => page.run.hours * 3600));
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const breakable = name => {  // behind its underscores; what is copied or looked for is the name as it is
    const made = element("span", null);
    name.split(/(?<=_)/).forEach((part, place) => made.append(...(place ? [element("wbr", null)] : []), part));
    return made;
  };
  const row = (cells, name = "td", numbers = []) => {
    const made = element("tr", null);
    cells.forEach((cell, place) => {
      const one = element(name, null, name === "th" ? {scope: "col"} : {});
      if (cell instanceof Node) one.append(cell); else { one.textContent = cell ?? "–"; if (String(cell).length > 8) one.title = cell; }
      if (numbers.includes(place)) one.className = "number";
      made.append(one);
    });
    return made;
  };
  const table = (id, heads, rows, numbers = []) => {
    const head = element("thead", null), body = element("tbody", null);
    head.append(row(heads, "th", numbers));
    body.append(...rows);
    $(id).replaceChildren(head, body);
  };

  // -- words and tables
  const openRows = new Set();
  const withEvidence = (cells, key, texts, numbers) => {
    const button = element("button", cells[1], {type: "button", "aria-expanded": "false", title: `${cells[1]}: show its evidence`});
    cells[1] = button;
    const line = row(cells, "td", numbers), evidence = element("tr", null, {class: "evidence"});
    const cell = element("td", null, {colspan: String(cells.length)});
    for (const [name, text] of texts) cell.append(element(name, text, name === "pre" ? {tabindex: "0"} : {}));
    evidence.append(cell);
    const show = open => { evidence.hidden = !open; button.setAttribute("aria-expanded", String(open)); openRows[open ? "add" : "delete"](key); };
    show(openRows.has(key));
    button.addEventListener("click", () => show(evidence.hidden));
    return [line, evidence];
  };
  const state = text => element("span", {fail: "✗ fail", insufficient: "? open", pass: "✓ pass", "not applicable": "– n/a"}[text] ?? text, {class: `state ${text}`, title: text});

  function words() {
    const page = pages[0];
    const sentence = several ? comparison() : page.verdict.sentence;
    if ($("sentence").textContent !== sentence) $("sentence").textContent = sentence;
    $("sentence").dataset.word = several ? "none" : page.verdict.word;
    $("facts").textContent = several ? "" : `${page.run.id} · ${page.run.plan} · ${page.run.hours} h of soak time, ${number(page.run.rps)} slots/soak-second, `
      + `speed ${page.run.speed} · ${page.run.target} · began ${page.run.started} · ${page.run.status} · windows of ${page.run.window}`;
    if (several) {
      boardOfSeveral();
      for (const id of ["latency-toggles", "tool-toggles", "kind-toggles", "phase-toggles"]) $(id).parentElement.hidden = true;
      for (const id of ["second", "log-of-events", "calls-failed", "calls-slow"]) $(id).hidden = true;
      boardOfWeeks();
      values();
      return;
    }
    const counts = {};
    page.criteria.forEach(one => { counts[one.state] = (counts[one.state] ?? 0) + 1; });
    $("board-head").textContent = "Criteria: " + (Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(", ") || (page.run.goes_on ? "judged when the run has ended" : "not judged"));
    table("criteria", ["state", "criterion", "measure", "threshold", "n", "interval"], page.criteria.flatMap(one => withEvidence(
      [state(one.state), one.name, one.said, one.threshold, one.n.toLocaleString("en"), one.said_interval], one.name,
      [["strong", `Required: ${one.threshold}`], ["p", one.detail],
        ...(one.found ? [["p", `Smallest that would have been found: ${one.found}.`]] : []), ["pre", one.query]], [2, 4])), [2, 4]);
    table("events", ["soak time", "event", "detail"], page.events.map((one, place) => {
      const button = element("button", hours(one.soak_s), {type: "button", title: "mark it in the charts"});
      const line = row([button, breakable(one.name), one.detail]);
      button.addEventListener("click", () => choose(place, line));
      line.classList.toggle("chosen", chosen === place);
      return line;
    }));
    const heads = ["soak time", "tool", "action", "kind", "status", "reason", "response, ms", "attempts", "phase", "correlation id"];
    const call = one => row([hours(one.soak_s), one.tool, one.action, one.kind, one.status, one.reason, one.response_ms?.toFixed(1), one.attempts,
                             one.phase, one.correlation_id], "td", [6, 7]);
    $("failures-head").textContent = `Failures: the latest ${page.failures.length} of ${page.failed.toLocaleString("en")}`;
    $("slowest-head").textContent = `Slowest calls: ${page.slowest.length}`;
    table("failures", heads, page.failures.map(call), [6, 7]);
    table("slowest", heads, page.slowest.map(call), [6, 7]);
    values();
  }
  function values() {
    if (!$("values-box").open) return;
    const rows = pages.flatMap(page => {
      const p99 = page.latency.find(one => one.tool === ALL && one.percentile === "p99" && one.measure === $("measure").value);
      const at = new Map((p99?.columns.soak_s ?? []).map((s, place) => [s, place]));
      return page.success.soak_s.map((s, place) => row([page.run.id, hours(s), number(page.success.n[place]), number(page.success.y[place]),
        `${number(page.success.low[place])} – ${number(page.success.high[place])}`, at.has(s) ? atLeast(p99.columns, at.get(s)) + number(p99.columns.y[at.get(s)]) : "–"], "td", [2, 3, 5]));
    });
    const longer = new Set(pages.flatMap(page => page.latency.filter(one => one.tool === ALL && one.percentile === "p99" && one.window !== page.run.window).map(one => one.window)));
    table("values", ["run", "soak time", "calls", "success, %", "95 % interval", ["p99, ms", ...longer].join(" in ")], rows, [2, 3, 5]);
  }
  const names = () => [...new Set(pages.flatMap(page => page.criteria.map(one => one.name)))];
  const of = (page, name) => page.criteria.find(one => one.name === name);
  const changed = name => new Set(pages.map(page => of(page, name)?.state)).size > 1;
  const comparison = () => {
    const moved = names().filter(changed);
    return `${pages.length} runs: ` + (moved.length ? `${moved.length} ${moved.length === 1 ? "criterion changed" : "criteria changed"}: ${moved.join(", ")}`
      : "no criterion changed its verdict");
  };
  function boardOfSeveral() {
    $("criteria").className = "several";
    $("criteria").style.setProperty("--runs", pages.length);
    const cell = (page, name) => { const one = of(page, name), made = element("span", null); if (!one) return "–"; made.append(state(one.state), ` ${one.said}`); return made; };
    const sorted = [...names().filter(changed), ...names().filter(name => !changed(name))];
    table("criteria", ["", "criterion", ...pages.map(page => page.run.id)], sorted.flatMap(name => withEvidence(
      [changed(name) ? "changed" : "", name, ...pages.map(page => cell(page, name))], name,
      pages.flatMap(page => [["strong", page.run.id], ["p", of(page, name) ? `${of(page, name).detail} (required: ${of(page, name).threshold})` : "not judged"]]), [])));
  }

  function course(one, runs) { // the measure from run to run, from its least to its largest value
    const values = runs.map(id => one.values[id]), told = values.filter(value => value != null), low = Math.min(...told), high = Math.max(...told);
    const svg = (name, given) => { const made = document.createElementNS("http://www.w3.org/2000/svg", name); for (const key in given) made.setAttribute(key, given[key]); return made; };
    const x = place => 6 + 108 * place / Math.max(runs.length - 1, 1), y = value => 22 - 16 * (high > low ? (value - low) / (high - low) : .5);
    const made = svg("svg", {viewBox: "0 0 120 28", width: 120, height: 28, role: "img", class: "course",
                             "aria-label": `${one.measure}, ${told.length} runs: ${number(low)} to ${number(high)}`});
    const path = values.map((value, place) => value == null ? "" : `${place && values[place - 1] != null ? "L" : "M"}${x(place)} ${y(value)}`).join("");
    made.append(svg("path", {d: path}));
    values.forEach((value, place) => { if (value != null) made.append(svg("circle", {cx: x(place), cy: y(value), r: 2})); });
    runs.forEach((id, place) => { if (one.changed.includes(id)) made.append(svg("line", {x1: x(place) - 54 / Math.max(runs.length - 1, 1), x2: x(place) - 54 / Math.max(runs.length - 1, 1), y1: 2, y2: 26})); });
    return made;
  }
  function boardOfWeeks() {
    const weeks = content.weeks, runs = pages.map(page => page.run.id);
    $("over-runs").hidden = !weeks;
    if (!weeks) return;
    $("weeks-said").replaceChildren(...weeks.said.map(text => element("li", text)));
    const numbers = runs.map((_, place) => place + 2);
    table("weeks", ["measure", "course", ...runs], weeks.table.map(one => {
      const made = row([one.measure, course(one, runs), ...runs.map(id => number(one.values[id]))], "td", numbers);
      runs.forEach((id, place) => { if (one.changed.includes(id)) { made.children[place + 2].classList.add("changed"); made.children[place + 2].prepend("→ "); } });
      return made;
    }), numbers);
  }

  // -- what is switched on
  const tools = () => [...new Set(pages.flatMap(page => [...page.latency.map(one => one.tool), ...Object.keys(page.tools)]))];
  const kinds = () => [...new Set(pages.flatMap(page => Object.keys(page.kinds)))];
  const phases = () => pages[0].marks.filter(mark => mark.kind === "phase");
  const toolColour = name => colour(several ? 0 : tools().indexOf(name));
  const kindColour = (name, place) => colour(KIND_COLOURS[name] ?? place);
  function toggles(id, what, all, paint) {
    const before = JSON.stringify(all) + theme();
    if ($(id).dataset.made === before) return;
    $(id).dataset.made = before;
    $(id).replaceChildren(...all.map((name, place) => {
      const label = element("label", null), box = element("input", null, {type: "checkbox", value: name});
      box.checked = !off[what].has(name);
      box.addEventListener("change", () => { off[what][box.checked ? "delete" : "add"](name); fill(); });
      label.append(box);
      if (paint) { const swatch = element("span", null, {class: "swatch", "aria-hidden": "true"}); swatch.style.borderTopColor = paint(name, place); label.append(swatch); }
      label.append(` ${name}`);
      return label;
    }));
  }

  // -- charts
  const EVENT_ROWS = 3;
  function eventRows() {  // the commonest events have a row each, the lowest the commonest; all others share the top one
    const counts = new Map();
    for (const one of pages[0].events) counts.set(one.name, (counts.get(one.name) ?? 0) + 1);
    return [...counts].sort((one, other) => other[1] - one[1]).slice(0, EVENT_ROWS - 1).map(([name]) => name);
  }
  function describe() {  // every line that can be drawn, with its columns as they are now
    const made = [], common = several ? [] : eventRows(), rowOf = name => common.includes(name) ? common.indexOf(name) : common.length;
    pages.forEach((page, place) => {
      const who = several ? page.run.id : "all calls";
      made.push({panel: "success", name: who, columns: page.success, colour: colour(place), unit: "%", band: true, on: () => true});
      for (const one of page.latency) {
        if (several && one.tool !== ALL) continue;
        made.push({panel: "latency", name: `${several ? page.run.id : one.tool} ${one.percentile}${one.window === page.run.window ? "" : ` in ${one.window}`}`, columns: one.columns, unit: "ms", dash: DASHES[one.percentile],
          colour: several ? colour(place) : toolColour(one.tool), key: one.measure, measure: one.measure,
          on: () => one.measure === $("measure").value && !off.latency.has(one.tool) && !off.percentile.has(one.percentile)});
      }
      if (several) return;
      Object.entries(page.kinds).forEach(([name, columns], at) => made.push({panel: "kinds", name, columns: bare(columns, "n"), colour: kindColour(name, at),
        unit: "calls", on: () => !off.kind.has(name)}));
      Object.entries(page.tools).forEach(([name, columns]) => made.push({panel: "tools", name, columns: bare(columns, "n"), colour: toolColour(name),
        unit: "calls", on: () => !off.tool.has(name)}));
      made.push({panel: "strip", name: "events", columns: {soak_s: page.events.map(one => one.soak_s), y: page.events.map(one => rowOf(one.name)),
        n: page.events.map(() => 1), low: page.events.map(() => null), high: page.events.map(() => null),
        what: page.events.map(one => one.name), detail: page.events.map(one => one.detail)}, colour: css("--mark"), points: true, on: () => true});
    });
    return made;
  }
  const atLeast = (columns, at) => columns.at_least?.[at] ? "at least " : "";  // it falls among calls that were given up
  const bare = (columns, name) => ({soak_s: columns.soak_s, n: columns.n, y: columns[name], low: columns.n.map(() => null), high: columns.n.map(() => null)});
  function shown(line) {  // the columns of a line as a source takes them: gaps where a phase is off
    const hidden = several ? [] : phases().filter(mark => off.phase.has(mark.label));
    const covered = s => hidden.some(mark => s >= mark.start_s && s < (mark.end_s ?? Infinity));
    const log = $("log").checked, columns = line.columns;
    const drawn = (value, at) => value === null || covered(columns.soak_s[at]) || (log && line.panel !== "strip" && line.panel !== "success" && value <= 0) ? NaN : value;
    const data = {x: columns.soak_s.map(s => s / 3600), y: columns.y.map(drawn), low: columns.low.map(drawn), high: columns.high.map(drawn), n: columns.n,
      name: columns.soak_s.map(() => line.name), at: columns.soak_s.map(hours),
      value: columns.y.map((value, at) => `${atLeast(columns, at)}${number(value)} ${line.unit ?? ""}`),
      interval: columns.low.map((low, at) => low === null ? "–" : `${columns.high[at] === null ? "at least" : `${number(low)} –`} ${number(columns.high[at] ?? low)} ${line.unit}`)};
    if (line.points) { data.what = columns.what; data.detail = columns.detail; }
    return data;
  }
  function draw() {
    const kept = range ? [range.start, range.end] : [0, end() / 3600];
    const ranges = PANELS.map(() => new Bokeh.Range1d({start: kept[0], end: kept[1]}));
    range = ranges[0];
    let linking = false;  // every chart is a document of its own, and a range belongs to one: they follow each other
    for (const one of ranges) one.change.connect(() => {
      if (linking) return;
      linking = true;
      for (const other of ranges) if (other !== one) other.setv({start: one.start, end: one.end});
      linking = false;
      tell();
    });
    series = describe();
    const text = css("--text"), line = css("--line"), back = css("--back");
    figures = PANELS.map((panel, place) => {
      const logarithmic = $("log").checked && ["latency", "kinds", "tools"].includes(panel);
      const holder = $(panel);
      const figure = Bokeh.Plotting.figure({x_range: ranges[place], y_axis_type: logarithmic ? "log" : "linear", tools: [], toolbar_location: null, sizing_mode: "stretch_both",
        background_fill_color: back, border_fill_color: back, outline_line_color: line, min_border_left: 62, min_border_right: 8, min_border_bottom: 20, min_border_top: 4,
        output_backend: "canvas", lod_threshold: null});
      if (panel !== "strip") figure.y_range = new Bokeh.DataRange1d({only_visible: true, range_padding: 0.06});
      else figure.y_range = new Bokeh.Range1d({start: -0.7, end: 2.7});
      for (const axis of [figure.xaxis, figure.yaxis].flat(2)) Object.assign(axis, {axis_label_text_color: text, major_label_text_color: text, axis_line_color: line, major_tick_line_color: line,
        minor_tick_line_color: null, axis_label_text_font_style: "normal", major_label_text_font_size: "11px", axis_label_text_font_size: "11px"});
      for (const grid of [figure.xgrid, figure.ygrid].flat(2)) Object.assign(grid, {grid_line_color: line, grid_line_alpha: 0.5});
      const x = [figure.xaxis].flat(2)[0], y = [figure.yaxis].flat(2)[0];
      x.axis_label = "soak time, hours"; x.axis_label_standoff = 0;
      y.axis_label = {success: "success, %", latency: $("measure").value === "first token" ? "time to first token, ms" : `${$("measure").value} time, ms`, strip: null, kinds: "calls", tools: "calls"}[panel];
      if (panel === "strip") { y.visible = false; [figure.ygrid].flat(2)[0].grid_line_color = null; }
      marksOn(figure, panel);
      const hovered = [];
      for (const one of series.filter(each => each.panel === panel)) {
        one.source = new Bokeh.ColumnDataSource({data: shown(one)});
        one.glyphs = [];
        if (one.band) one.glyphs.push(figure.segment({x0: {field: "x"}, x1: {field: "x"}, y0: {field: "low"}, y1: {field: "high"}, source: one.source, line_color: one.colour, line_alpha: 0.35, line_width: 2}));
        if (!one.points) one.glyphs.push(figure.line({x: {field: "x"}, y: {field: "y"}, source: one.source, line_color: one.colour, line_width: 1.6, line_dash: one.dash ?? []}));
        const dots = figure.scatter({x: {field: "x"}, y: {field: "y"}, source: one.source, size: one.points ? 7 : 3.5, marker: one.points ? "inverted_triangle" : "circle",
          line_color: null, fill_color: one.colour});
        one.glyphs.push(dots);
        hovered.push(dots);
        one.glyphs.forEach(glyph => { glyph.visible = one.on(); });
      }
      const tips = panel === "strip" ? [["at", "@at"], ["event", "@what"], ["detail", "@detail"]]
        : [["line", "@name"], ["from", "@at"], ["value", "@value"], ["n", "@n"], ["95 % interval", "@interval"]];
      const hover = new Bokeh.HoverTool({renderers: hovered, tooltips: tips, mode: "mouse", limit: 4}), zoom = new Bokeh.BoxZoomTool({dimensions: "width"});
      figure.add_tools(zoom, hover);
      figure.toolbar.active_drag = zoom;
      holder.replaceChildren();
      Bokeh.Plotting.show(figure, holder);
      holder.ondblclick = whole;
      return figure;
    });
    fill();
    tell();
  }
  function marksOn(figure, panel) {
    const page = pages[0];
    if (!several) for (const [place, mark] of page.marks.entries()) {
      if (mark.kind === "phase" && place % 2 === 0) continue;
      // soak time stood still while no runner lived: such a gap has no width
      if (mark.kind === "gap" && mark.end_s === null) figure.add_layout(new Bokeh.Span({location: mark.start_s / 3600, dimension: "height", line_color: css("--quiet"), line_width: 3}));
      if (mark.end_s !== null) figure.add_layout(new Bokeh.BoxAnnotation({left: mark.start_s / 3600, right: mark.end_s / 3600, fill_color: mark.kind === "phase" ? css("--quiet") : css("--fail"),
        fill_alpha: mark.kind === "phase" ? 0.09 : 0.16, line_color: null, level: "underlay", propagate_hover: true}));
    }
    if (several) return;
    const changes = page.marks.filter(mark => mark.kind === "change");
    changes.forEach((mark, place) => {
      if (panel === "success") figure.add_layout(new Bokeh.Label({x: mark.start_s / 3600, y: 4, y_units: "screen", x_offset: place % 2 ? -10 : 3, text: String(place + 1), text_color: css("--mark"),
        text_font_size: "12px", text_font_style: "bold"}));
      figure.add_layout(new Bokeh.Span({location: mark.start_s / 3600, dimension: "height", line_color: css("--mark"), line_dash: [4, 3], line_width: 1.2}));
    });
    if (chosen !== null && page.events[chosen]) figure.add_layout(new Bokeh.Span({location: page.events[chosen].soak_s / 3600, dimension: "height", line_color: css("--fail"), line_width: 2}));
  }
  function fill() {
    for (const line of series) {
      line.source.data = shown(line);
      line.glyphs.forEach(glyph => { glyph.visible = line.on(); });
    }
    for (const panel of PANELS.filter(one => one !== "strip")) $(`${panel}-legend`).replaceChildren(...series.filter(line => line.panel === panel && line.on()).map(line => {
      const item = element("span", null), swatch = element("span", null, {class: "swatch", "aria-hidden": "true"});
      swatch.style.borderTopColor = line.colour;
      swatch.style.borderTopStyle = !line.dash?.length ? "solid" : line.dash[0] === 2 ? "dotted" : "dashed";
      item.append(swatch, line.name);
      return item;
    }));
  }
  const tell = () => { $("shown").textContent = `${hours(3600 * range.start)} to ${hours(3600 * range.end)}`; };
  const show = (from, to) => { range.setv({start: from, end: to}); };
  function whole() { show(0, end() / 3600); }
  function zoom(factor) {
    const middle = (range.start + range.end) / 2, half = (range.end - range.start) * factor / 2;
    show(Math.max(0, middle - half), Math.min(end() / 3600, middle + half));
  }
  function move(share) {
    const width = range.end - range.start, by = Math.min(Math.max(share * width, -range.start), end() / 3600 - range.end);
    show(range.start + by, range.end + by);
  }
  function choose(place, line) {
    chosen = chosen === place ? null : place;
    document.querySelectorAll("#events tr.chosen").forEach(one => one.classList.remove("chosen"));
    if (chosen !== null) line.classList.add("chosen");
    draw();
  }
  function say() {
    const page = pages[0], known = page.success.y.filter(value => value !== null);
    $("success-says").textContent = known.length ? `From ${number(Math.min(...known))} to ${number(Math.max(...known))} percent in ${known.length} windows.` : "No call yet.";
    const p99 = page.latency.find(one => one.tool === ALL && one.percentile === "p99" && one.measure === $("measure").value);
    const times = (p99?.columns.y ?? []).filter(value => value !== null);
    $("latency-says").textContent = times.length ? `The 99th percentile goes from ${number(Math.min(...times))} to ${p99.columns.at_least?.includes(true) ? "at least " : ""}${number(Math.max(...times))} milliseconds.`
      : p99 ? "Too few calls for a 99th percentile." : "No call yet.";
    const changes = page.marks.filter(mark => mark.kind === "change");
    const words = name => name.toLowerCase().replaceAll("_", " ");
    $("strip-head").textContent = `Events, a row each: ${["all others", ...eventRows().map(words).reverse()].join("; ")}`;
    $("success-head").textContent = several ? "Success rate by run" : "Success rate with its 95 % interval";
    const told = mark => `${hours(60 * Math.round(mark.start_s / 60))} ${mark.label}`, gaps = page.marks.filter(mark => mark.kind === "gap");
    $("changes").textContent = several ? "" : [...changes.map((mark, place) => `${place + 1} ${told(mark)}`), ...gaps.map(told)].join(" · ");
    $("latency-head").textContent = several ? "Latency of all tools" : "Latency";
  }
  function menus() {
    for (const option of $("measure").options) option.hidden = !pages.some(page => page.latency.some(one => one.measure === option.value));
    off.latency ??= new Set(tools().filter(name => name !== ALL));
    toggles("latency-toggles", "latency", tools(), toolColour);
    toggles("tool-toggles", "tool", tools().filter(name => name !== ALL), toolColour);
    toggles("kind-toggles", "kind", kinds(), kindColour);
    toggles("phase-toggles", "phase", phases().map(mark => mark.label));
    toggles("percentile-toggles", "percentile", Object.keys(DASHES));
  }
  function everything() { menus(); words(); say(); draw(); }

  // -- live
  const lineUp = () => describe().map(line => `${line.panel} ${line.name} ${line.measure ?? ""}`).join("\n");
  async function follow() {
    let pause = 1000;
    try {
      const answer = await fetch("data.json", {cache: "no-store"});
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const before = lineUp(), marks = JSON.stringify(pages[0].marks);
      pages = (await answer.json()).pages;
      $("stale").textContent = "";
      menus(); words(); say();
      if (lineUp() === before && JSON.stringify(pages[0].marks) === marks) {
        const fresh = describe();
        series.forEach((line, place) => { line.columns = fresh[place].columns; });
        fill();
      } else draw();
      if (!pages[0].run.goes_on) pause = 5000;
    } catch (problem) {
      $("stale").textContent = `No newer data since ${pages[0].run.made}: ${problem.message}`;
    }
    setTimeout(follow, pause);
  }

  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  $("theme").addEventListener("click", () => { document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark"; everything(); });
  $("whole").addEventListener("click", whole);
  $("in").addEventListener("click", () => zoom(0.5));
  $("out").addEventListener("click", () => zoom(2));
  $("earlier").addEventListener("click", () => move(-0.5));
  $("later").addEventListener("click", () => move(0.5));
  $("log").addEventListener("change", draw);
  $("measure").addEventListener("change", () => { draw(); say(); values(); });
  $("values-box").addEventListener("toggle", values);
  document.addEventListener("keydown", pressed => { if (pressed.key === "Escape") document.querySelectorAll(".menu[open]").forEach(menu => menu.removeAttribute("open")); });
  document.addEventListener("click", clicked => document.querySelectorAll(".menu[open]").forEach(menu => { if (!menu.contains(clicked.target)) menu.removeAttribute("open"); }));
  addEventListener("beforeprint", () => { if (theme() === "dark") { document.documentElement.dataset.theme = "light"; everything(); } });
  everything();
  window.soakPage = {range: () => [range.start, range.end], ranges: () => figures.map(figure => [figure.x_range.start, figure.x_range.end]),
    lines: () => series.map(line => ({panel: line.panel, name: line.name, measure: line.measure, on: line.glyphs[0].visible, y: [...line.source.data.y]})), pages: () => pages};
  if (content.live) setTimeout(follow, 1000);
})();
