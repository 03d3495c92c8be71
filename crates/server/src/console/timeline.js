// Demand, its forecast and the plan of one pool over time: zoomed and moved with pointer or keyboard.

const MINUTE = 60e3, LEAST_SPAN = 2 * MINUTE, MOST_SPAN = 60 * 24 * 60 * MINUTE;
const USUAL_SPAN = 60 * MINUTE;
// What is looked at: `to` is undefined while it follows the present; `place` is where the cursor stands;
// `drag` is where a drag began, as a time.
const lens = { pool: undefined, span: USUAL_SPAN, to: undefined, place: undefined, drag: undefined };
const serverNow = () => (latest ? Date.parse(latest.asOf) : Date.now());

function lensOn(pool) {
  Object.assign(lens, { pool, span: USUAL_SPAN, to: undefined, place: undefined, drag: undefined });
}

// Looks at no more than is known at first: whether that was too much.
function fitLens(history) {
  const known = [history.knownFrom, ...(history.plans || []).map((plan) => plan.at)].filter(Boolean).map((text) => Date.parse(text));
  const wanted = Math.max(1.2 * (serverNow() - Math.min(serverNow(), ...known)), 5 * MINUTE);
  if (lens.to !== undefined || wanted >= 0.8 * lens.span) return false;
  lens.span = Math.ceil(wanted / MINUTE) * MINUTE;
  return true;
}

function loadHistory(pool) {
  const to = lens.to === undefined ? serverNow() : Math.min(lens.to, serverNow());
  const from = (lens.to === undefined ? to : lens.to) - lens.span;
  const asked = { from: new Date(Math.min(from, to - 1000)).toISOString(), to: new Date(to).toISOString(), maxSteps: 200 };
  return ask(`/api/v1/pools/${encodeURIComponent(pool)}/history?` + new URLSearchParams(asked));
}

// Looks at a span that ends at a time, or at the present.
function look(spanMs, to) {
  lens.span = Math.min(Math.max(spanMs, LEAST_SPAN), MOST_SPAN);
  lens.to = to === undefined || to >= serverNow() ? undefined : to;
  lens.place = undefined;
  refresh();
}

// Zooms by a factor around a time, or around the end.
function zoom(factor, around) {
  const to = lens.to === undefined ? serverNow() : lens.to;
  if (around === undefined || around > serverNow()) return look(lens.span * factor, lens.to);
  return look(lens.span * factor, around + (to - around) * factor);
}

const clockOf = (ms, fine) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(fine || lens.span < 20 * MINUTE ? { second: "2-digit" } : {}) });
const momentOf = (ms, fine) => (lens.span > 20 * 60 * MINUTE ? new Date(ms).toLocaleDateString([], { day: "numeric", month: "short" }) + " " : "") + clockOf(ms, fine);

// The places where the cursor can stand: steps of the past, then those of the forecast.
function placesOf(history, forecast) {
  const step = seconds(history.step) * 1000, bin = forecast ? seconds(forecast.step) * 1000 : step;
  const bins = Math.max(step / bin, 1), from = Date.parse(history.from), known = history.knownFrom ? Date.parse(history.knownFrom) : Infinity;
  const plans = (history.plans || []).map((plan) => ({ ...plan, ms: Date.parse(plan.at) }));
  const planAt = (ms) => plans.filter((plan) => plan.ms <= ms).pop();
  const past = (history.steps || []).map((one, i) => {
    const at = from + i * step;
    return { at, until: at + step, requests: count(one.requests) / bins, waited: count(one.waited) / bins, all: count(one.requests), allWaited: count(one.waited), known: at + step > known, plan: planAt(at + step) };
  });
  const now = past.length ? past[past.length - 1].until : serverNow();
  const [low, middle, high] = [0.1, 0.5, 0.9].map((level) => at(forecast || {}, level));
  const start = forecast && forecast.from ? Date.parse(forecast.from) : now;
  const ahead = ((forecast && forecast.steps) || []).map((one, i) => ({ at: start + i * bin, until: start + (i + 1) * bin, q: one.quantiles || [] }))
    .filter((one) => lens.to === undefined && one.q.length > 0 && one.until > now - bin && one.at <= now + lens.span)
    .map((one) => ({ ...one, low: one.q[low], middle: one.q[middle], high: one.q[high] }));
  return { past, ahead, plans, bin };
}

function wordsOf(place) {
  const fine = place.until - place.at < MINUTE, when = `${momentOf(place.at, fine)} to ${clockOf(place.until, fine)}`;
  if (place.q) return `${when}: ${short(place.middle)} requests expected (${short(place.low)} to ${short(place.high)})`;
  const plan = place.plan ? `; target ${count(place.plan.target)}${place.plan.proposed === undefined ? "" : `, ${place.plan.proposed} proposed`}` : "";
  return `${when}: ${place.known ? `${place.all} requests, ${place.allWaited} waited` : "requests are not remembered"}${plan}`;
}

function timeline(history, pool) {
  const { past, ahead, plans, bin } = placesOf(history, pool.forecast);
  const places = past.concat(ahead);
  const last = Math.min(lens.place === undefined ? -1 : lens.place, places.length - 1);
  const words = last >= 0 ? wordsOf(places[last]) : "Arrows move a cursor, + and − zoom, shift with arrows moves the span, 0 returns to the present; drag to zoom in.";
  const model = pool.forecast ? ` Bars: requests in ${span(bin / 1000 + "s")}, the waiting part in another colour. Band: 10–90 % and median by ${pool.forecast.model}${pool.forecast.fallback ? " (fallback)" : ""}. Below: free instances as planned (line) and as they were at each new plan (area).` : "";
  const tools = [["Zoom in", () => zoom(0.5, timeAt(places))], ["Zoom out", () => zoom(2, timeAt(places))],
    ["Earlier", () => look(lens.span, (lens.to === undefined ? serverNow() : lens.to) - lens.span / 2)],
    ["Later", () => look(lens.span, lens.to === undefined ? undefined : lens.to + lens.span / 2)], ["Now", () => look(USUAL_SPAN, undefined)]];
  const buttons = tools.map(([label, onclick]) => node("button", { type: "button", onclick }, label));
  return node("div", { class: "card" },
    node("div", { class: "bar" }, ...buttons, soft(`${span(lens.span / 1000 + "s")} up to ${lens.to === undefined ? "now" : momentOf(lens.to)}`)),
    places.length ? timelineDrawing(places, past, ahead, plans, last) : soft(opened.history ? "Nothing is known of this span." : "loading …"),
    node("p", { class: "soft readout", "aria-live": "polite" }, words), soft(model));
}

const timeAt = (places) => (lens.place !== undefined && places[lens.place] ? (places[lens.place].at + places[lens.place].until) / 2 : undefined);

function timelineDrawing(places, past, ahead, plans, cursor) {
  const width = Math.max(Math.min(byId("live").clientWidth - 36, 1400), 260), left = 34, right = width - 8;
  const from = places[0].at, to = Math.max(...places.map((one) => one.until));
  const x = (ms) => left + ((right - left) * (Math.min(Math.max(ms, from), to) - from)) / Math.max(to - from, 1);
  const svg = drawn("svg", { viewBox: `0 0 ${width} 250`, class: "timeline", role: "img", tabindex: 0, "data-key": "timeline",
    "aria-label": "demand, forecast and plan over time; move with the arrow keys", ...timelineKeys(places, from, to, left, right, width) });
  const mark = (xx, yy, text, anchor) => svg.append(drawn("text", { x: xx, y: yy, class: "mark", "text-anchor": anchor || "start" }, text));
  demandPanel(svg, past, ahead, x, mark);
  planPanel(svg, past, plans, x, mark, to);
  const ticks = Math.max(Math.floor(width / 130), 2);
  for (let i = 0; i <= ticks; i++) {
    const ms = from + ((to - from) * i) / ticks;
    mark(x(ms), 247, momentOf(ms), i === 0 ? "start" : i === ticks ? "end" : "middle");
  }
  if (past.length && ahead.length) {
    const now = x(past[past.length - 1].until);
    svg.append(drawn("line", { x1: now, x2: now, y1: 8, y2: 232, class: "now" }));
  }
  if (cursor >= 0) {
    const place = x((places[cursor].at + places[cursor].until) / 2);
    svg.append(drawn("line", { x1: place, x2: place, y1: 8, y2: 232, class: "cursor" }));
  }
  if (lens.drag !== undefined && cursor >= 0) {
    const ends = [x(lens.drag), x((places[cursor].at + places[cursor].until) / 2)].sort((a, b) => a - b);
    svg.append(drawn("rect", { x: ends[0], y: 8, width: ends[1] - ends[0], height: 224, class: "dragged" }));
  }
  return svg;
}

function demandPanel(svg, past, ahead, x, mark) {
  const top = Math.max(1, ...past.map((one) => one.requests), ...ahead.map((one) => one.high));
  const y = (value) => 130 - (118 * Math.max(value, 0)) / top;
  const bar = (one, low, high, kind) => high > low && svg.append(drawn("rect", {
    x: x(one.at), width: Math.max(x(one.until) - x(one.at) - 0.5, 0.5), y: y(high), height: Math.max(y(low) - y(high), 0.5), class: kind }));
  past.filter((one) => one.known).forEach((one) => {
    bar(one, 0, one.requests - one.waited, "came");
    bar(one, one.requests - one.waited, one.requests, "waited");
  });
  const line = (key) => ahead.flatMap((one) => [x(one.at) + "," + y(one[key]), x(one.until) + "," + y(one[key])]);
  if (ahead.length) {
    svg.append(drawn("polygon", { points: line("high").concat(line("low").reverse()).join(" "), class: "band" }));
    svg.append(drawn("polyline", { points: line("middle").join(" "), class: "median" }));
  }
  svg.append(drawn("line", { x1: x(-Infinity), x2: x(Infinity), y1: 130, y2: 130, class: "axis" }));
  mark(2, 18, short(top));
  mark(2, 132, "0");
}

// The target as a line, what was free when plans were made as an area.
function planPanel(svg, past, plans, x, mark, end) {
  const free = (plan) => count(plan.ready) + count(plan.starting);
  const until = past.length ? past[past.length - 1].until : end;
  const top = Math.max(1, ...plans.map((plan) => Math.max(count(plan.target), count(plan.proposed), free(plan))));
  const y = (value) => 230 - (78 * value) / top;
  const steps = (value) => plans.flatMap((plan, i) => {
    const next = i + 1 < plans.length ? plans[i + 1].ms : until;
    return next < plan.ms ? [] : [x(plan.ms) + "," + y(value(plan)), x(next) + "," + y(value(plan))];
  });
  if (plans.length) {
    const area = steps(free);
    svg.append(drawn("polygon", { points: [area[0].split(",")[0] + ",230", ...area, area[area.length - 1].split(",")[0] + ",230"].join(" "), class: "area ready" }));
    svg.append(drawn("polyline", { points: steps((plan) => count(plan.target)).join(" "), class: "target" }));
    if (plans.some((plan) => plan.proposed !== undefined))
      svg.append(drawn("polyline", { points: steps((plan) => count(plan.proposed === undefined ? plan.target : plan.proposed)).join(" "), class: "median" }));
  } else mark(40, 195, "no plan is written down for this span");
  svg.append(drawn("line", { x1: x(-Infinity), x2: x(Infinity), y1: 230, y2: 230, class: "axis" }));
  mark(2, 156, String(top));
  mark(2, 232, "0");
}

// What pointer and keys do on the drawing.
function timelineKeys(places, from, to, left, right, width) {
  const timeOf = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    return from + ((to - from) * (Math.min(Math.max(at, left), right) - left)) / (right - left);
  };
  const placeOf = (ms) => Math.max(places.findIndex((one) => ms < one.until), 0);
  const move = (place) => {
    const next = Math.min(Math.max(place, 0), places.length - 1);
    if (next === lens.place) return;
    lens.place = next;
    redraw();
  };
  const keys = {
    ArrowLeft: (event) => (event.shiftKey ? look(lens.span, (lens.to === undefined ? serverNow() : lens.to) - lens.span / 4) : move(lens.place === undefined ? places.length - 1 : lens.place - 1)),
    ArrowRight: (event) => (event.shiftKey ? look(lens.span, lens.to === undefined ? undefined : lens.to + lens.span / 4) : move(lens.place === undefined ? 0 : lens.place + 1)),
    Home: () => move(0), End: () => move(places.length - 1),
    "+": () => zoom(0.5, timeAt(places)), "=": () => zoom(0.5, timeAt(places)), "-": () => zoom(2, timeAt(places)), "0": () => look(USUAL_SPAN, undefined),
    Escape: () => { Object.assign(lens, { place: undefined, drag: undefined }); redraw(); },
  };
  return {
    onkeydown: (event) => {
      const does = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
      if (!does) return;
      event.preventDefault();
      does(event);
    },
    onpointermove: (event) => move(placeOf(timeOf(event))),
    onpointerdown: (event) => { lens.drag = timeOf(event); },
    onpointerup: (event) => {
      const ends = [lens.drag, timeOf(event)].sort((a, b) => a - b);
      const dragged = lens.drag !== undefined && ends[1] - ends[0] > (to - from) / 50;
      lens.drag = undefined;
      if (dragged) look(Math.min(ends[1], serverNow()) - ends[0], ends[1]);
    },
    onpointerleave: () => { Object.assign(lens, { place: undefined, drag: undefined }); redraw(); },
  };
}
