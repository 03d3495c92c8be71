//! What people do in the console, and what comes of it.

use serde_json::json;

use crate::{Desk, picture};

const FILTER: &str = "form[aria-label=Filter]";

#[test]
fn a_lease_is_found_by_its_user_and_released() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    let lease = desk.lease("ada");
    desk.lease("eve");
    let id = lease["allocationId"].as_str().expect("an id").to_owned();
    desk.browser.view("#/leases");
    desk.browser.until_shown("eve");
    desk.browser
        .type_into(&format!("{FILTER} [name=userId]"), "ada");
    desk.browser.click(&format!("{FILTER} button"));
    desk.browser
        .until("!document.querySelector('#live table').innerText.includes('eve')");
    desk.browser
        .until(&format!("!!document.querySelector('[data-key=\"{id}\"]')"));
    desk.browser.click(&format!(
        "[data-key='{id}'] form[aria-label=Release] button"
    ));
    desk.browser.until_shown(&format!("{id} is released."));
    desk.browser
        .until(&format!("!document.querySelector('[data-key=\"{id}\"]')"));
    let found = desk.read("/api/v1/allocations?userId=ada");
    assert_eq!(found["allocations"][0]["state"], "RELEASED", "{found}");
    desk.close();
}

#[test]
fn leases_come_page_by_page() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    for number in 0..6 {
        desk.lease(&format!("user-{number}"));
    }
    // As if a page held two.
    desk.browser.value(
        "void (() => { const real = ask; ask = (path, ...rest) => real(path.replace('pageSize=50', 'pageSize=2'), ...rest); })()",
    );
    let rows =
        "[...document.querySelectorAll('#live tbody tr')].map((row) => row.dataset.key).join()";
    desk.browser.view("#/leases");
    desk.browser
        .until("document.querySelectorAll('#live tbody tr').length === 2");
    let first = desk.browser.value(rows);
    desk.browser.value("void [...document.querySelectorAll('button')].find((one) => one.textContent === 'Next').click()");
    desk.browser.until_shown("page 2");
    desk.browser.until(&format!("{rows} !== {first}"));
    desk.browser.value("void [...document.querySelectorAll('button')].find((one) => one.textContent === 'Previous').click()");
    desk.browser.until(&format!("{rows} === {first}"));
    desk.close();
}

#[test]
fn an_override_is_set_shown_and_cleared() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    let form = "form[aria-label='Set the override']";
    desk.browser.view("#/pool/notebook");
    desk.browser
        .until_shown("No override is in force for this pool.");
    desk.browser.type_into(&format!("{form} [name=count]"), "3");
    desk.browser
        .type_into(&format!("{form} [name=reason]"), "exam week");
    desk.browser.click(&format!("{form} button"));
    desk.browser.until_shown("In force; 1 overrides in all.");
    desk.browser.until_shown("exam week");
    let found = desk.read("/admin/shadow_override");
    assert_eq!(found["overrides"][0]["count"], 3, "{found}");
    desk.browser.click("form[aria-label=Clear] button");
    desk.browser.until_shown("notebook is cleared.");
    desk.browser
        .until_shown("No override is in force for this pool.");
    desk.close();
}

#[test]
fn another_target_is_applied_only_after_the_planner_has_answered_for_it() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    let form = "form[aria-label='Ask the planner']";
    let target = format!("{form} [name=target]");
    let apply = format!("document.querySelector(\"{form} button[type=button]\")");
    let objective = |desk: &Desk| desk.read("/admin/shadow_config")["objectives"].clone();
    desk.browser.view("#/pool/notebook");
    desk.browser.until_shown("Apply becomes possible");
    let before = objective(&desk);
    assert_eq!(desk.browser.value(&format!("{apply}.disabled")), true);
    desk.browser.type_into(&target, "0.7");
    desk.browser.click(&format!("{form} button"));
    desk.browser.until_shown("The planner would keep");
    desk.browser.until(&format!("{apply}.disabled === false"));
    assert_eq!(objective(&desk), before, "asking changes nothing");
    desk.browser.type_into(&target, "0.8");
    desk.browser.until(&format!("{apply}.disabled"));
    desk.browser.click(&format!("{form} button"));
    desk.browser.until(&format!("{apply}.disabled === false"));
    picture(&mut desk.browser, "what-if");
    desk.browser.click(&format!("{form} button[type=button]"));
    desk.browser.until_shown("are planned.");
    let after = objective(&desk);
    assert_eq!(after[0]["targetHitRate"], 0.8, "{after}");
    desk.close();
}

#[test]
fn a_configuration_is_applied_twice_and_not_over_the_change_of_another() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    let text = "textarea[name=config]";
    let send = "form[aria-label=Check] button";
    let said = "document.querySelector('form[aria-label=Check] output').textContent";
    desk.browser.view("#/config");
    desk.browser
        .until(&format!("!!document.querySelector('{text}')"));
    desk.browser.type_into(text, "{\"tick\": ");
    desk.browser.click(send);
    desk.browser.until_shown("This is no JSON");
    desk.browser.click("[name=apply]");
    for tick in ["2s", "3s"] {
        let config = json!({"tick": tick, "horizon": "60s"}).to_string();
        desk.browser.type_into(text, &config);
        desk.browser.click(send);
        desk.browser
            .until(&format!("{said}.startsWith('In force')"));
        assert_eq!(desk.read("/admin/shadow_config")["tick"], tick);
        desk.browser.value(
            "void (document.querySelector('form[aria-label=Check] output').textContent = '')",
        );
    }
    desk.post(
        "/admin/shadow_config",
        &json!({"tick": "4s", "horizon": "60s"}),
    );
    desk.browser.click(send);
    desk.browser.until_shown("read it again");
    assert_eq!(desk.read("/admin/shadow_config")["tick"], "4s");
    desk.close();
}

#[test]
fn what_is_typed_and_where_one_has_scrolled_stays_while_the_rest_follows() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    desk.browser.appear(360, false);
    desk.browser.view("#/pool/notebook");
    desk.browser.until_shown("Set the override");
    desk.browser.type_into(
        "form[aria-label='Set the override'] [name=reason]",
        "half a sen",
    );
    desk.browser
        .value("document.activeElement.setSelectionRange(2, 4)");
    desk.browser
        .value("void (document.querySelector('#live .bar').kept = 'yes')");
    // A row that comes above may move the page, not what is looked at.
    let place = "Math.round(document.activeElement.getBoundingClientRect().top)";
    let (scrolled, before) = (
        desk.browser.value("window.scrollY"),
        desk.browser.value(place),
    );
    desk.lease("late-comer");
    desk.browser.until_shown("late-comer");
    let kept = "(() => { const one = document.activeElement; \
                return [one.name, one.value, one.selectionStart, one.selectionEnd]; })()";
    assert_eq!(
        desk.browser.value(kept),
        json!(["reason", "half a sen", 2, 4])
    );
    assert!(scrolled.as_f64().is_some_and(|far| far > 0.0), "{scrolled}");
    assert_eq!(desk.browser.value(place), before);
    let bar = "document.querySelector('#live .bar').kept";
    assert_eq!(
        desk.browser.value(bar),
        json!("yes"),
        "it is the same element"
    );
    desk.close();
}

#[test]
fn the_past_of_a_pool_is_there_after_a_reload_and_is_looked_through_with_keys() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    for number in 0..5 {
        desk.lease(&format!("user-{number}"));
    }
    let readout = "document.querySelector('.readout').textContent";
    desk.browser.view("#/pool/notebook");
    desk.browser
        .until("!!document.querySelector('.timeline .came, .timeline .waited')");
    desk.browser.value("location.reload()");
    desk.browser
        .until("!!document.querySelector('.timeline .came, .timeline .waited')");
    desk.browser
        .until("!!document.querySelector('.timeline .target')");
    desk.browser
        .value("document.querySelector('.timeline').focus()");
    desk.browser.press("End");
    desk.browser.until(&format!("{readout}.includes(' to ')"));
    let last = desk.browser.value(readout);
    desk.browser.press("ArrowLeft");
    desk.browser.until(&format!("{readout} !== {last}"));
    desk.browser.press("-");
    desk.browser.until_shown("10 min up to now");
    desk.browser.press("+");
    desk.browser.until_shown("5 min up to");
    assert_eq!(
        desk.browser.value("document.activeElement.dataset.key"),
        "timeline"
    );
    desk.close();
}
