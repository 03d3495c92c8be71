// The models that retraining has made beside the simple ones, how good forecasts were, and choosing.

const MEASURES = [["wape", "WAPE"], ["mase", "MASE"], ["crps", "CRPS"]];

// A row for each model, and one for each simple one on the same windows.
function modelRows(list) {
  const use = (name, label) => form(label, [], async () => {
    await ask("/admin/models", { name });
    return name ? name + " is taken up and kept." : "Retraining chooses again.";
  });
  const number = (value) => (value === undefined ? "" : value.toFixed(3));
  const measured = (one) => [one.model, ...MEASURES.map(([key]) => number(one[key])), percent(one.coverage80)];
  return list.flatMap((m) => {
    const [own, ...simple] = m.measures || [];
    const first = row(m.name, m.name, node("span", { class: "bar" }, m.inUse ? pill("in use", "good") : "", m.pinned ? pill("kept") : ""), m.trainedThrough || "",
      ...(own ? measured(own) : [m.problem, "", "", "", ""]), m.inUse && m.pinned ? use("", "Let retraining choose") : m.usable ? use(m.name, "Use") : "");
    return [first, ...simple.map((one) => row(m.name + " " + one.model, " ", " ", " ", ...measured(one), " "))];
  });
}

function accuracyRows(groups) {
  return groups.map((g) => row(g.kind + " " + g.name,
    g.kind, g.name, String(count(g.points)), g.wape === undefined ? "" : g.wape.toFixed(3), g.pinball === undefined ? "" : g.pinball.toFixed(4),
    percent(g.coverage80), percent(g.hitRate), span(g.idle), count(g.drifts) ? pill(`${count(g.drifts)}, latest ${distance(g.driftedAt)}`, "wait") : "none"));
}

// Groups drawn at a time.
const MOST_GROUPS = 200;

const modelsPage = {
  every: 10000,
  title: () => "Models",
  async load() {
    const [listed, adaptation] = await Promise.all([ask("/admin/models"), ask("/api/v1/adaptation")]);
    return { models: listed.models || [], latest: listed.latestTraining, groups: adaptation.groups || [] };
  },
  draw: ({ models, latest, groups }) => {
    const retrain = form("Train now", [], async () => {
      await ask("/admin/retrain", {});
      return "Asked for. It is taken up if it is better than the model in use.";
    });
    const heads = ["Model", "", "Trained through", "On what was held out", ...MEASURES.map(([, label]) => label), "80 % covers", ""];
    const worst = [...groups].sort((a, b) => count(b.drifts) - count(a.drifts)).slice(0, MOST_GROUPS);
    return [
      block("Models that retraining has made", table("models", heads, modelRows(models),
        "Retraining has made no model yet: forecasts come from the one that was configured, or the simple ones."),
        latest ? soft(`Latest training: ${latest}`) : undefined, retrain),
      block("Actual against predicted", table("accuracy", ["Of", "Name", "Points", "WAPE", "Pinball ÷ mean", "80 % covers", "Hits", "Kept idle", "Drift"],
        accuracyRows(worst), "No forecast has been compared with what came yet."),
        groups.length > worst.length ? soft(`${groups.length - worst.length} more, with fewer drifts.`) : undefined)];
  },
};
