// The models that retraining has made, how good forecasts were, and choosing among them.

function modelRows(list) {
  const use = (name, label) => form(label, [], async () => {
    await ask("/admin/models", { name });
    return name ? "Taken up and kept." : "Retraining chooses again.";
  });
  return list.map((m) => [
    m.name, m.inUse ? pill("in use", "good") : "", m.pinned ? pill("kept") : "",
    m.trainedThrough || "", m.usable ? "" : m.problem, m.inUse && m.pinned ? use("", "Let retraining choose") : m.usable ? use(m.name, "Use") : ""]);
}

function accuracyRows(groups) {
  return groups.map((g) => [
    g.kind, g.name, String(count(g.points)), g.wape === undefined ? "" : g.wape.toFixed(3), g.pinball === undefined ? "" : g.pinball.toFixed(4),
    percent(g.coverage80), percent(g.hitRate), span(g.idle), count(g.drifts) ? pill(`${count(g.drifts)}, latest ${distance(g.driftedAt)}`, "wait") : "none"]);
}

async function modelsView() {
  const [listed, adaptation] = await Promise.all([ask("/admin/models"), ask("/api/v1/adaptation")]);
  const retrain = form("Train now", [], async () => {
    await ask("/admin/retrain", {});
    return "Asked for. It is taken up if it is better than the model in use.";
  });
  return [
    block("Models", table("models", ["Model", "", "", "Trained through", "Problem", ""], modelRows(listed.models || []),
      "Retraining has made no model yet: forecasts come from the one that was configured, or the simple ones."), retrain),
    block("Actual against predicted", table("accuracy", ["Of", "Name", "Points", "WAPE", "Pinball ÷ mean", "80 % covers", "Hits", "Kept idle", "Drift"],
      accuracyRows(adaptation.groups || []), "No forecast has been compared with what came yet."))];
}
