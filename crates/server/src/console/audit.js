// Who changed what, page by page.

const kept = { who: "", action: "" };

async function auditView() {
  const rows = node("div", {});
  const heads = ["When", "Who", "Role", "From", "Call", "Outcome", "Request"];
  let listed = [], next = "";
  async function more(fresh) {
    if (fresh) [listed, next] = [[], ""];
    const query = new URLSearchParams(Object.entries({ ...kept, pageToken: next, pageSize: "50" }).filter(([, value]) => value));
    const page = await ask("/admin/audit?" + query);
    listed.push(...(page.events || []));
    next = page.nextPageToken || "";
    const cells = listed.map((e) => [e.at, e.who, e.role, e.peer, e.action, e.refusal ? pill(e.refusal, "bad") : pill("done", "good"), node("code", {}, e.request)]);
    rows.replaceChildren(table("changes", heads, cells, "Nothing has been changed yet."), next ? form("More", [], () => more(false).then(() => "")) : "");
  }
  const filter = form("Filter", [field("Who", "who"), field("Call", "action")], async (given) => {
    Object.assign(kept, given);
    await more(true);
    return "";
  });
  await more(true);
  return [block("Changes", filter, rows)];
}
