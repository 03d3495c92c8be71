//! Who waits for the shape that it asks for, told from what callers see.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_allocator::{
    Allocation, AllocationRequest, InstanceRecord, Invariant, Phase, PoolSpec, Target,
};
use foreshadow_types::{
    AllocationId, Bytes, InstanceId, PoolName, Requirements, Shape, TenantId, Vcpus,
};

use super::{action::tenants, bug::Core, model::Model};

/// What one pool has ready at once.
#[derive(Debug, Default, Clone, Copy)]
struct Ready {
    /// For a request of the shape that is looked at.
    enough: bool,
    /// Something, but too little for it.
    too_little: bool,
}

/// Who holds each instance.
type Holders<'a> = BTreeMap<InstanceId, Vec<&'a Allocation>>;

impl Model {
    /// A request is said to wait for its shape exactly where an instance is ready that it could have if
    /// it asked for less, and none that it can have as it is.
    pub(super) fn check_shapes(&mut self, core: &Core, views: &BTreeMap<AllocationId, Allocation>) {
        let mut holders = Holders::new();
        for view in views.values().filter(|view| view.state.is_live()) {
            if let Some(instance) = &view.instance {
                holders.entry(instance.id).or_default().push(view);
            }
        }
        for (tenant, shape) in
            tenants().flat_map(|tenant| shapes().map(move |one| (tenant.clone(), one)))
        {
            let Some(expected) = self.waits(core, &holders, &tenant, &shape) else {
                continue;
            };
            let target = Requirements {
                shape,
                ..Requirements::default()
            };
            let target = Target::Requirements(Arc::new(target));
            self.check_shape(core, tenant, target, expected);
        }
        let names: Vec<PoolName> = self.specs.keys().cloned().collect();
        for (tenant, name) in
            tenants().flat_map(|tenant| names.iter().map(move |name| (tenant.clone(), name)))
        {
            // Who names a pool asks for no shape.
            self.check_shape(core, tenant, Target::Pool(name.clone()), false);
        }
    }

    fn check_shape(&mut self, core: &Core, tenant: TenantId, target: Target, expected: bool) {
        let Ok(request) = AllocationRequest::builder(tenant, target).build() else {
            return;
        };
        if core.waits_for_shape(&request) != expected {
            let what = format!("waiting for {:?} would be {expected}", request.target());
            self.breach(Invariant::ShapesToldApart, what);
        }
    }

    /// Whether a request for `shape` would wait for it alone; `None` where that cannot be told from
    /// outside.
    fn waits(
        &self,
        core: &Core,
        holders: &Holders<'_>,
        tenant: &TenantId,
        shape: &Shape,
    ) -> Option<bool> {
        let mut all = Ready::default();
        let mut kept_for_somebody = false;
        for (name, spec) in &self.specs {
            let ready = self.ready(core, holders, (name, spec), tenant, shape)?;
            if spec.min.0 > 0 {
                // It may be reserved, or kept by a floor.
                kept_for_somebody |= ready.enough || ready.too_little;
            } else {
                all.enough |= ready.enough;
                all.too_little |= ready.too_little;
            }
        }
        (!kept_for_somebody).then_some(all.too_little && !all.enough)
    }

    fn ready(
        &self,
        core: &Core,
        holders: &Holders<'_>,
        (name, spec): (&PoolName, &PoolSpec),
        tenant: &TenantId,
        shape: &Shape,
    ) -> Option<Ready> {
        let mut found = Ready::default();
        let members = core.allocator().instances();
        for one in members.filter(|one| one.pool == *name && serves(one)) {
            let Some(group) = holders.get(&one.id) else {
                let enough = spec.shape.fits(shape);
                found.enough |= enough && !one.used;
                found.too_little |= !enough && !one.used;
                continue;
            };
            let shared = group[0].tenant == *tenant
                && group.len() < spec.shares as usize
                && one.revision == spec.revision;
            if !shared {
                continue;
            }
            if let Some(room) = spec.shape.less(&self.taken(spec, group)?) {
                found.enough |= room.fits(shape);
                found.too_little |= !room.fits(shape) && room.offers_some_of(shape);
            }
        }
        Some(found)
    }

    /// What the holders of an instance have of it; `None` where the answer to one of them is still to
    /// come.
    fn taken(&self, spec: &PoolSpec, group: &[&Allocation]) -> Option<Shape> {
        let mut taken = Shape::default();
        for holder in group {
            let request = &self.known.get(&holder.id)?.request;
            let share = match request.target() {
                Target::Pool(_) => spec.shape.share(spec.shares),
                Target::Requirements(asked) => asked.shape,
            };
            taken = taken.plus(&share);
        }
        Some(taken)
    }
}

/// Shapes that fit all pools, only the largest, hardly that, and none.
fn shapes() -> impl Iterator<Item = Shape> {
    [1_500, 2_500, 4_000, 6_000]
        .into_iter()
        .map(|thousandths| Shape {
            vcpus: Vcpus::from_thousandths(thousandths),
            memory: Bytes(1 << 30),
            ..Shape::default()
        })
}

fn serves(one: &InstanceRecord) -> bool {
    matches!(one.phase, Phase::Ready { .. }) && !one.draining
}
