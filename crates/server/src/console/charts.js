// Drawings: instances by state, bands of quantiles, levels over time, a week of hours.

// One square an instance, coloured by its state; large pools are drawn to scale.
function slots(pool) {
  const parts = [["leased", count(pool.leased)], ["ready", count(pool.ready)], ["starting", count(pool.starting)]];
  const total = Math.max(count(pool.max), 1);
  const cells = Math.min(total, 40);
  const words = parts.map(([state, n]) => n + " " + state).join(", ") + " of at most " + total;
  const svg = drawn("svg", { viewBox: "0 0 400 12", class: "slots", role: "img", "aria-label": words });
  const states = parts.flatMap(([state, n]) => Array(Math.ceil((n * cells) / total)).fill(state));
  for (let i = 0; i < cells; i++) {
    const width = 400 / cells;
    svg.append(drawn("rect", { x: i * width + 0.5, y: 0, width: Math.max(width - 1.5, 0.5), height: 12, rx: 2, class: states[i] || "" }));
  }
  return svg;
}

const MIDDLE = 0.5;
const at = (forecast, level) => (forecast.levels || []).reduce((best, l, i, all) => (Math.abs(l - level) < Math.abs(all[best] - level) ? i : best), 0);

// The 10–90 % band and the median of what is expected in each step.
function band(forecast, label) {
  const steps = ((forecast && forecast.steps) || []).map((step) => step.quantiles || []).filter((q) => q.length > 0);
  const svg = drawn("svg", { viewBox: "0 0 400 90", role: "img", "aria-label": label });
  if (steps.length === 0) {
    svg.append(drawn("text", { x: 200, y: 48, "text-anchor": "middle", class: "mark" }, "no forecast yet"));
    return svg;
  }
  const [low, middle, high] = [0.1, MIDDLE, 0.9].map((level) => at(forecast, level));
  const top = Math.max(0, ...steps.map((q) => q[high])) || 1;
  const bottom = Math.min(0, ...steps.map((q) => q[low]));
  const x = (i) => 30 + (360 * i) / Math.max(steps.length - 1, 1);
  const y = (value) => 76 - (66 * (value - bottom)) / (top - bottom);
  const line = (index) => steps.map((q, i) => x(i).toFixed(1) + "," + y(q[index]).toFixed(1));
  svg.append(drawn("line", { x1: 30, x2: 390, y1: 76, y2: 76, class: "axis" }));
  svg.append(drawn("polygon", { points: line(high).concat(line(low).reverse()).join(" "), class: "band" }));
  svg.append(drawn("polyline", { points: line(middle).join(" "), class: "median" }));
  svg.append(drawn("text", { x: 2, y: 14, class: "mark" }, short(top)));
  svg.append(drawn("text", { x: 2, y: 78, class: "mark" }, short(bottom)));
  svg.append(drawn("text", { x: 30, y: 88, class: "mark" }, "now"));
  const reach = steps.length * seconds(forecast.step);
  svg.append(drawn("text", { x: 390, y: 88, "text-anchor": "end", class: "mark" }, "+" + span(reach + "s")));
  hover(svg, label, steps.length, x, (i) => {
    const when = "+" + span((i + 1) * seconds(forecast.step) + "s");
    return `${when}: ${short(steps[i][middle])} (${short(steps[i][low])} to ${short(steps[i][high])})`;
  });
  return svg;
}

// Tells what stands at a place, by pointer or by arrow keys on the drawing that has this name. The place is
// kept beside the drawing, which is made anew again and again.
const pointed = new Map();
function hover(svg, name, places, x, words) {
  const group = drawn("g", {});
  const place = Math.min(pointed.has(name) ? pointed.get(name) : -1, places - 1);
  if (place >= 0) {
    group.append(drawn("line", { x1: x(place), x2: x(place), y1: 10, y2: 76, class: "cursor" }));
    group.append(drawn("text", { x: Math.min(Math.max(x(place), 110), 310), y: 8, class: "mark", "text-anchor": "middle" }, words(place)));
  }
  const point = (next) => {
    if (next === undefined) pointed.delete(name);
    else pointed.set(name, Math.min(Math.max(next, 0), places - 1));
    redraw();
  };
  const onpointermove = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    point(Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * (places - 1)));
  };
  group.append(drawn("rect", { x: 30, y: 0, width: 360, height: 80, fill: "transparent", onpointermove, onpointerleave: () => point(undefined) }));
  svg.append(group);
  svg.setAttribute("tabindex", "0");
  svg.onblur = () => point(undefined);
  svg.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    point(place < 0 ? 0 : place + step);
  };
  if (place >= 0) svg.setAttribute("aria-label", name + ": " + words(place));
}

// Instances by state over the time that this page has watched, with the plan's target as a line.
function levels(samples) {
  const svg = drawn("svg", { viewBox: "0 0 400 90", role: "img", "aria-label": "instances over time" });
  if (samples.length < 2) {
    svg.append(drawn("text", { x: 200, y: 48, "text-anchor": "middle", class: "mark" }, "watching …"));
    return svg;
  }
  const top = Math.max(1, ...samples.map((s) => Math.max(s.target, s.leased + s.ready + s.starting)));
  const from = samples[0].at, width = Math.max(samples[samples.length - 1].at - from, 1);
  const x = (i) => 30 + (360 * (samples[i].at - from)) / width;
  const y = (value) => 76 - (66 * value) / top;
  const edge = (height) => samples.map((s, i) => x(i).toFixed(1) + "," + y(height(s)).toFixed(1));
  const bounds = [() => 0, (s) => s.leased, (s) => s.leased + s.ready, (s) => s.leased + s.ready + s.starting];
  ["leased", "ready", "starting"].forEach((state, i) => {
    const points = edge(bounds[i + 1]).concat(edge(bounds[i]).reverse()).join(" ");
    svg.append(drawn("polygon", { points, class: "area " + state }));
  });
  svg.append(drawn("polyline", { points: edge((s) => s.leased + s.target).join(" "), class: "target" }));
  svg.append(drawn("text", { x: 2, y: 14, class: "mark" }, String(top)));
  svg.append(drawn("text", { x: 2, y: 78, class: "mark" }, "0"));
  svg.append(drawn("text", { x: 30, y: 88, class: "mark" }, span(width / 1000 + "s") + " ago"));
  svg.append(drawn("text", { x: 390, y: 88, "text-anchor": "end", class: "mark" }, "now"));
  hover(svg, "instances over time", samples.length, x, (i) => {
    const s = samples[i];
    return `${s.leased} leased, ${s.ready} ready, ${s.starting} starting, ${s.queued} queued; target ${s.target}`;
  });
  return svg;
}

// What other hit rates would have needed lately: idle instances to the right, hit rates upwards. `marks` are
// hit rates with a name.
function tradeOff(curve, marks) {
  const svg = drawn("svg", { viewBox: "0 0 400 150", role: "img", "aria-label": "idle instances by hit rate: " + marks.map(([name, rate]) => `${name} ${percent(rate)}: ${idleWords(curve, rate)}`).join("; ") });
  const low = Math.max(0, Math.floor(10 * Math.min(0.75, ...marks.map(([, rate]) => rate - 0.1))) / 10);
  const best = Math.max(...curve.map((point) => count(point.hitRate))), enough = curve.find((point) => count(point.hitRate) >= best - 0.002);
  const most = Math.max(count(enough.idle), ...marks.map(([, rate]) => idleFor(curve, rate) || 0), 1e-9) * 1.1;
  const x = (idle) => 40 + (345 * idle) / most, y = (rate) => 126 - (114 * (rate - low)) / (1 - low);
  const inside = curve.map((point) => [count(point.idle), count(point.hitRate)]).filter(([idle, rate]) => idle <= most && rate >= low);
  inside.unshift([idleFor(curve, low) || 0, low]);
  svg.append(drawn("line", { x1: 40, x2: 385, y1: 126, y2: 126, class: "axis" }));
  svg.append(drawn("polyline", { points: inside.map(([idle, rate]) => x(idle).toFixed(1) + "," + y(rate).toFixed(1)).join(" "), class: "median" }));
  marks.forEach(([name, rate], i) => {
    const idle = idleFor(curve, rate);
    if (idle === undefined) return;
    svg.append(drawn("line", { x1: 40, x2: x(idle), y1: y(rate), y2: y(rate), class: "cursor" }));
    svg.append(drawn("circle", { cx: x(idle), cy: y(rate), r: 4, class: i ? "asked" : "aim" }));
    svg.append(drawn("text", { x: i ? Math.min(x(idle) + 7, 340) : Math.max(x(idle) - 8, 90), y: y(rate) + (i ? 14 : -5), class: "mark", "text-anchor": i ? "start" : "end" }, name));
  });
  [[2, y(1) + 4, "100 %"], [2, 126, percent(low)], [40, 140, "0"]].forEach(([px, py, text]) => svg.append(drawn("text", { x: px, y: py, class: "mark" }, text)));
  svg.append(drawn("text", { x: 385, y: 140, class: "mark", "text-anchor": "end" }, short(most) + " idle instances"));
  return svg;
}

// The idle instances of a hit rate, between the points of the curve; undefined where no point reaches it.
function idleFor(curve, rate) {
  const above = curve.findIndex((point) => count(point.hitRate) >= rate);
  if (above <= 0) return above === 0 ? count(curve[0].idle) : undefined;
  const [a, b] = [curve[above - 1], curve[above]];
  const share = (rate - count(a.hitRate)) / Math.max(count(b.hitRate) - count(a.hitRate), 1e-9);
  return count(a.idle) + share * (count(b.idle) - count(a.idle));
}

function idleWords(curve, rate) {
  const idle = idleFor(curve, rate);
  return idle === undefined ? "more than was ever tried" : short(idle) + " idle instances";
}

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

// The expected accesses of each hour of the week, UTC.
function week(hours) {
  const svg = drawn("svg", { viewBox: "0 0 400 118", role: "img", "aria-label": "expected accesses by hour of the week" });
  const top = Math.max(0, ...hours) || 1;
  hours.forEach((value, i) => {
    const [day, hour] = [Math.floor(i / 24), i % 24];
    const cell = drawn("rect", { x: 30 + hour * 15, y: 2 + day * 14, width: 14, height: 13, rx: 2, class: "hour", "fill-opacity": (0.06 + (0.94 * value) / top).toFixed(3) });
    cell.append(drawn("title", {}, `${DAYS[day]} ${hour}:00 UTC: ${short(value)} expected`));
    svg.append(cell);
  });
  DAYS.forEach((day, i) => svg.append(drawn("text", { x: 2, y: 12 + i * 14, class: "mark" }, day)));
  [0, 6, 12, 18].forEach((hour) => svg.append(drawn("text", { x: 30 + hour * 15, y: 112, class: "mark" }, hour + ":00")));
  return svg;
}
