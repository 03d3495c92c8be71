// Who holds, waits or has booked: page by page, filtered by the server.

const LIVE = "GRANTED,JOINED,QUEUED,BOOKED", ENDED = "RELEASED,EXPIRED,CANCELLED,REJECTED,LOST";
const STATES = [[LIVE, "all that live"], ["GRANTED", "hold"], ["JOINED", "hold, starting"], ["QUEUED", "wait"], ["BOOKED", "booked"], [ENDED, "all that ended"],
  ["RELEASED", "released"], ["EXPIRED", "expired"], ["CANCELLED", "cancelled"], ["REJECTED", "rejected"], ["LOST", "lost"]];
const LEASES_A_PAGE = 50;

// A list of its own: what it is filtered by, and the tokens of the pages up to the one shown.
const leaseList = () => ({ filter: { pool: "", userId: "", tenantId: "", states: LIVE }, tokens: [""] });
const allLeases = leaseList();

function loadLeases(list) {
  const asked = { ...list.filter, pageToken: list.tokens[list.tokens.length - 1], pageSize: LEASES_A_PAGE };
  return ask("/api/v1/allocations?" + new URLSearchParams(Object.entries(asked).filter(([, value]) => value)));
}

const leasesPage = {
  every: 2000,
  title: () => "Leases and queue",
  load: () => loadLeases(allLeases),
  draw: (page) => [leasesBlock("Allocations", allLeases, page, true)],
};

function leasesBlock(title, list, page, everyPool) {
  const turn = (change) => () => {
    change(list.tokens);
    refresh();
  };
  const place = list.tokens.length;
  const pages = node("div", { class: "bar" },
    node("button", { type: "button", disabled: place < 2 && "", onclick: turn((tokens) => tokens.pop()) }, "Previous"),
    soft("page " + place),
    node("button", { type: "button", disabled: !page.nextPageToken && "", onclick: turn((tokens) => tokens.push(page.nextPageToken)) }, "Next"));
  return block(title, leaseFilter(list, everyPool), allocations(page.allocations || [], latest && latest.asOf), pages);
}

function leaseFilter(list, everyPool) {
  const options = STATES.map(([value, label]) => node("option", { value, selected: value === list.filter.states && "" }, label));
  const states = node("label", {}, "State", node("select", { name: "states" }, ...options));
  const fields = [everyPool && field("Pool", "pool", { value: list.filter.pool }), field("User", "userId", { value: list.filter.userId }),
    field("Tenant", "tenantId", { value: list.filter.tenantId }), states];
  return form("Filter", fields.filter(Boolean), async (given) => {
    const trimmed = Object.entries(given).map(([key, value]) => [key, value.trim()]);
    Object.assign(list, { filter: { ...list.filter, ...Object.fromEntries(trimmed) }, tokens: [""] });
    return "";
  });
}

function waits(a, now) {
  if (a.state === "QUEUED") return `place ${count(a.queuePosition)}, about ${span(a.estimatedWait)}`;
  if (a.state === "JOINED") return "about " + span(a.estimatedWait);
  if (ENDED.includes(a.state)) return "ended";
  return distance(a.state === "BOOKED" ? a.availabilityTime : a.leaseExpiresAt, now);
}

// Gives a lease back in its holder's place, or takes a request back.
function endButton(a) {
  const path = `/api/v1/allocations/${encodeURIComponent(a.allocationId)}/`;
  if (a.state === "GRANTED")
    return form("Release", [], () => ask(path + "release", { fencingToken: a.fencingToken }).then(() => `${a.allocationId} is released.`));
  if (LIVE.includes(a.state)) return form("Cancel", [], () => ask(path + "cancel", {}).then(() => `${a.allocationId} is cancelled.`));
  return "";
}

// Takes the instance out once its holder gives it back.
function drainButton(a) {
  if (!a.instance || !LIVE.includes(a.state)) return undefined;
  const path = `/admin/instances/${encodeURIComponent(a.instance.id)}/drain`;
  return form("Drain", [], () => ask(path, {}).then(() => `${a.instance.id} goes when it is given back.`));
}

function allocations(list, now) {
  const heads = ["Allocation", "Pool", "State", "User", "Application", "Instance", "Served", "Ends or waits", ""];
  const rows = list.map((a) => row(a.allocationId,
    a.allocationId, link(a.pool, "pool", a.pool), pill(a.state || "", a.state === "GRANTED" ? "good" : LIVE.includes(a.state) ? "wait" : ""),
    a.userId ? link(a.userId, "user", a.userId) : "", a.applicationId,
    a.instance ? [a.instance.id, a.instance.address].filter(Boolean).join(" ") : "",
    [a.warm ? "warm" : "", a.merged ? "merged" : ""].filter(Boolean).join(", "), waits(a, now), node("div", { class: "bar" }, endButton(a), drainButton(a))));
  return table("leases and queue", heads, rows, "Nobody holds or waits for an instance here.");
}
