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
  svg.append(hover(steps.length, x, (i) => {
    const when = "+" + span((i + 1) * seconds(forecast.step) + "s");
    return `${when}: ${short(steps[i][middle])} (${short(steps[i][low])} to ${short(steps[i][high])})`;
  }));
  return svg;
}

// Tells what stands at the place of the pointer.
function hover(places, x, words) {
  const group = drawn("g", {});
  const line = drawn("line", { y1: 8, y2: 76, class: "cursor", visibility: "hidden" });
  const text = drawn("text", { y: 8, class: "mark", "text-anchor": "middle" });
  const area = drawn("rect", { x: 30, y: 0, width: 360, height: 80, fill: "transparent" });
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const place = Math.round(share * (places - 1));
    line.setAttribute("x1", x(place));
    line.setAttribute("x2", x(place));
    line.setAttribute("visibility", "visible");
    text.setAttribute("x", Math.min(Math.max(x(place), 110), 310));
    text.textContent = words(place);
  });
  area.addEventListener("pointerleave", () => {
    line.setAttribute("visibility", "hidden");
    text.textContent = "";
  });
  group.append(line, text, area);
  return group;
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
  svg.append(hover(samples.length, x, (i) => {
    const s = samples[i];
    return `${s.leased} leased, ${s.ready} ready, ${s.starting} starting, ${s.queued} queued; target ${s.target}`;
  }));
  return svg;
}

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

// The expected accesses of each hour of the week, UTC.
function week(hours) {
  const svg = drawn("svg", { viewBox: "0 0 400 118", role: "img", "aria-label": "expected accesses by hour of the week" });
  const top = Math.max(0, ...hours) || 1;
  hours.forEach((value, i) => {
    const [day, hour] = [Math.floor(i / 24), i % 24];
    const cell = drawn("rect", { x: 30 + hour * 15, y: 2 + day * 14, width: 14, height: 13, rx: 2, class: "hour" });
    cell.style.fillOpacity = (0.06 + (0.94 * value) / top).toFixed(3);
    cell.append(drawn("title", {}, `${DAYS[day]} ${hour}:00 UTC: ${short(value)} expected`));
    svg.append(cell);
  });
  DAYS.forEach((day, i) => svg.append(drawn("text", { x: 2, y: 12 + i * 14, class: "mark" }, day)));
  [0, 6, 12, 18].forEach((hour) => svg.append(drawn("text", { x: 30 + hour * 15, y: 112, class: "mark" }, hour + ":00")));
  return svg;
}
