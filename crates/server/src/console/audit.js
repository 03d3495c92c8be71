// Who changed what, page by page.

const kept = { who: "", action: "" };
const changes = { listed: [], next: "" };

async function moreChanges() {
  const query = new URLSearchParams(Object.entries({ ...kept, pageToken: changes.next, pageSize: "50" }).filter(([, value]) => value));
  const page = await ask("/admin/audit?" + query);
  Object.assign(changes, { listed: changes.listed.concat(page.events || []), next: page.nextPageToken || "" });
}

const auditPage = {
  every: 0,
  title: () => "Changes",
  enter: () => Object.assign(changes, { listed: [], next: "" }),
  async load() {
    if (changes.listed.length === 0) await moreChanges();
    return changes;
  },
  draw: ({ listed, next }) => {
    const filter = form("Filter", [field("Who", "who", { value: kept.who }), field("Call", "action", { value: kept.action })], async (given) => {
      Object.assign(kept, given);
      Object.assign(changes, { listed: [], next: "" });
      return "";
    });
    const heads = ["When", "Who", "Role", "From", "Call", "Outcome", "Request"];
    const rows = listed.map((e, i) => row(String(i), e.at, e.who, e.role, e.peer, e.action, e.refusal ? pill(e.refusal, "bad") : pill("done", "good"), node("code", {}, e.request)));
    const more = next ? form("More", [], () => moreChanges().then(() => "")) : undefined;
    return [block("Who changed what", filter, table("changes", heads, rows, "Nothing has been changed yet."), more)];
  },
};
