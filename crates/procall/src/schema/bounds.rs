//! How much work a schema can make, so that no value keeps a process busy.
//!
//! Alternatives and references multiply: a schema of a few lines can ask for more steps than there is time. A step is one subschema applied
//! to one value. Their number is bounded before the first is made: at the schema where it does not depend on the value, else at the value,
//! by adding up what every place of it would cost. Each pair of a subschema and a place is looked at once, so the sum is cheap where the steps
//! are not.

use std::collections::HashMap;

use serde_json::Value;

/// Arrays and objects inside each other in a schema; one that is deeper is refused.
pub(super) const MAX_DEPTH: usize = 32;
/// Subschemas applied to the same value one inside the other; a schema with more is refused.
const MAX_CHAIN: u64 = 64;
/// Subschemas inside each other on the way to any place of a value; more count as too much work, because each takes some of the stack.
const MAX_NESTED: u64 = 256;
/// Steps that any value may take: some 50 ms.
const MAX_STEPS: u64 = 1_000_000;
/// Further steps for each place of a value, so that a long one may take its time.
const STEPS_A_PLACE: u64 = 16;
/// One in so many of the steps may go into saying what is wrong.
const EXPLAINED: u64 = 8;
/// Bytes of text that a pattern looks at in the time of one step.
const TEXT_A_STEP: usize = 64;
/// Parts of a schema with an `$id` of their own; one with more is refused.
const MAX_DOCUMENTS: usize = 64;
/// Branches from which the checker takes the one whose constants fit, and no other.
const DISPATCHED: usize = 3;

/// The value would take too many steps.
struct TooMuch;

/// What a value costs at most.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    /// Steps to say whether it is as the schema wants it.
    check: u64,
    /// Steps to say where it is not.
    explain: u64,
}

/// What is known of a schema's work.
#[derive(Debug)]
pub(super) struct Bounds {
    nodes: Vec<Node>,
    /// What each place of a value costs at most, when no reference leads back.
    flat: Option<u64>,
}

/// A subschema: where it sends its value, or parts of it.
#[derive(Debug, Default)]
struct Node {
    /// Subschemas for the same value.
    same: Vec<usize>,
    /// Those of them that are alternatives, of which a failure looks at all once more.
    alternatives: Vec<usize>,
    /// Only one of the alternatives is looked at, because each asks for another constant.
    dispatched: bool,
    properties: HashMap<String, usize>,
    each_property: Vec<usize>,
    names: Vec<usize>,
    places: Vec<usize>,
    each_item: Vec<usize>,
    /// It asks of every member whether something else has looked at it.
    asks_of_each: bool,
    /// Steps of its own keywords.
    own: u64,
    /// What any text, number or other value without parts costs, or the value itself apart from its parts.
    flat: Cost,
}

impl Node {
    fn below(&self) -> impl Iterator<Item = usize> {
        let lists = [&self.each_property, &self.names, &self.places, &self.each_item];
        self.properties.values().chain(lists.into_iter().flatten()).copied()
    }
}

impl Bounds {
    /// Reads a schema; the error says why it cannot be used.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        check_depth(schema)?;
        let mut graph = Graph::new(schema)?;
        graph.intern(schema);
        while let Some((at, schema)) = graph.queue.pop() {
            graph.nodes[at] = graph.read(schema)?;
        }
        let mut nodes = graph.nodes;
        flatten(&mut nodes)?;
        let flat = expanded(&nodes)?;
        Ok(Self { nodes, flat })
    }

    /// Whether a value may be checked.
    pub(super) fn allow(&self, value: &Value) -> bool {
        let weight = weight(value);
        let budget = budget(weight);
        let steps = self.flat.map(|flat| flat.saturating_mul(weight));
        steps.is_some_and(|steps| steps <= budget) || self.sum(value, budget).is_ok()
    }

    /// Whether a value that is wrong may be looked through for what is wrong: that makes an error of each step, which takes memory.
    pub(super) fn explain(&self, value: &Value) -> bool {
        let weight = weight(value);
        let (budget, most) = (budget(weight), budget(weight) / EXPLAINED);
        let steps = self.flat.map(|flat| flat.saturating_mul(weight));
        steps.is_some_and(|steps| steps <= most)
            || self.sum(value, budget).is_ok_and(|cost| cost.explain <= most)
    }

    fn sum(&self, value: &Value, budget: u64) -> Result<Cost, TooMuch> {
        Sum { nodes: &self.nodes, known: HashMap::new(), looks: 0, budget }.cost(0, value, 0)
    }
}

/// Steps that a value of this weight may take.
fn budget(weight: u64) -> u64 {
    MAX_STEPS + STEPS_A_PLACE.saturating_mul(weight)
}

/// Adds up the steps of one value.
struct Sum<'a> {
    nodes: &'a [Node],
    /// Subschema and place, by its address: the value does not move meanwhile.
    known: HashMap<(usize, usize), Cost>,
    looks: u64,
    budget: u64,
}

impl Sum<'_> {
    fn cost(&mut self, at: usize, value: &Value, nested: u64) -> Result<Cost, TooMuch> {
        let node = &self.nodes[at];
        let parts = match value {
            Value::Object(members) => members.len(),
            Value::Array(items) => items.len(),
            _ => return Ok(node.flat.times(text_steps(value))),
        };
        let key = (at, std::ptr::from_ref(value).addr());
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        self.looks += 1;
        if nested >= MAX_NESTED || self.looks > self.budget {
            return Err(TooMuch);
        }
        let mut cost = Cost { check: node.own, explain: node.own };
        for &same in &node.same {
            cost = cost.and(self.cost(same, value, nested + 1)?);
        }
        let mut alternatives = Cost::default();
        let mut dearest = 0;
        for &alternative in &node.alternatives {
            let one = self.cost(alternative, value, nested + 1)?;
            alternatives = alternatives.and(one);
            dearest = dearest.max(one.check);
        }
        cost = cost.and(alternatives.of_alternatives(node.dispatched.then_some(dearest)));
        if node.asks_of_each {
            cost = cost.times(parts as u64 + 2);
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let own = node.properties.get(name).into_iter();
                    for &below in own.chain(&node.each_property) {
                        cost = cost.and(self.cost(below, member, nested + 1)?);
                    }
                    for &below in &node.names {
                        cost = cost.and(self.nodes[below].flat.times(steps_of(name.len())));
                    }
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    let own = node.places.get(place).into_iter();
                    for &below in own.chain(&node.each_item) {
                        cost = cost.and(self.cost(below, item, nested + 1)?);
                    }
                }
            }
            _ => {}
        }
        if cost.check > self.budget {
            return Err(TooMuch);
        }
        self.known.insert(key, cost);
        Ok(cost)
    }
}

impl Cost {
    fn and(self, other: Self) -> Self {
        Self {
            check: self.check.saturating_add(other.check),
            explain: self.explain.saturating_add(other.explain),
        }
    }

    fn times(self, times: u64) -> Self {
        Self {
            check: self.check.saturating_mul(times),
            explain: self.explain.saturating_mul(times),
        }
    }

    /// Of alternatives together: they are checked first, and only when none fits is each asked what it has against the value.
    fn of_alternatives(self, dearest: Option<u64>) -> Self {
        Self {
            check: dearest.unwrap_or(self.check),
            explain: self.explain.saturating_add(self.check),
        }
    }
}

/// The places of a value, and what patterns have to look at in it, in steps.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.iter().fold(1, |sum: u64, (name, member)| {
            sum.saturating_add(steps_of(name.len())).saturating_add(weight(member))
        }),
        Value::Array(items) => {
            items.iter().fold(1, |sum: u64, item| sum.saturating_add(weight(item)))
        }
        value => text_steps(value),
    }
}

fn text_steps(value: &Value) -> u64 {
    steps_of(value.as_str().map_or(0, str::len))
}

fn steps_of(len: usize) -> u64 {
    1 + (len / TEXT_A_STEP) as u64
}

fn check_depth(schema: &Value) -> Result<(), String> {
    let mut level: Vec<&Value> = vec![schema];
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(parts).filter(|part| !is_plain(part)).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    Err(format!("it is nested more than {MAX_DEPTH} deep"))
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn parts(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// The subschemas of a document, by their addresses.
struct Graph<'a> {
    /// The document, and its parts with names of their own. In which of them a reference counts depends on the draft, so it leads to the place
    /// that it names in any of them: too many steps are counted rather than too few.
    documents: Vec<(&'a str, &'a Value)>,
    /// Places with a name for fragments.
    anchors: HashMap<String, Vec<&'a Value>>,
    places: HashMap<usize, usize>,
    nodes: Vec<Node>,
    queue: Vec<(usize, &'a Value)>,
}

impl<'a> Graph<'a> {
    fn new(document: &'a Value) -> Result<Self, String> {
        let mut graph = Self {
            documents: vec![("", document)],
            anchors: HashMap::new(),
            places: HashMap::new(),
            nodes: Vec::new(),
            queue: Vec::new(),
        };
        let mut left = vec![document];
        while let Some(value) = left.pop() {
            for keyword in ["$id", "id", "$anchor", "$dynamicAnchor"] {
                let Some(name) = value.get(keyword).and_then(Value::as_str) else { continue };
                match (keyword, name.strip_prefix('#')) {
                    ("$id" | "id", None) => graph.documents.push((last_part(name), value)),
                    (_, anchor) => {
                        let name = anchor.unwrap_or(name).to_owned();
                        graph.anchors.entry(name).or_default().push(value);
                    }
                }
            }
            left.extend(parts(value));
        }
        if graph.documents.len() > MAX_DOCUMENTS {
            return Err(format!("more than {MAX_DOCUMENTS} of its parts have an $id"));
        }
        Ok(graph)
    }

    /// The number of a subschema.
    fn intern(&mut self, schema: &'a Value) -> usize {
        let address = std::ptr::from_ref(schema).addr();
        if let Some(&at) = self.places.get(&address) {
            return at;
        }
        let at = self.nodes.len();
        self.places.insert(address, at);
        self.nodes.push(Node::default());
        self.queue.push((at, schema));
        at
    }

    fn all(&mut self, schemas: &'a Value) -> Vec<usize> {
        let schemas = match schemas {
            Value::Array(_) => parts(schemas),
            one => vec![one],
        };
        schemas.into_iter().map(|schema| self.intern(schema)).collect()
    }

    fn read(&mut self, schema: &'a Value) -> Result<Node, String> {
        let mut node = Node { own: 1, ..Node::default() };
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match &**keyword {
                "$ref" => {
                    for target in self.resolve(value)? {
                        node.same.push(self.intern(target));
                    }
                }
                "$dynamicRef" | "$recursiveRef" => {
                    return Err(format!(
                        "{keyword} leads to another place for every value; use $ref"
                    ));
                }
                "anyOf" | "oneOf" => {
                    node.dispatched = node.alternatives.is_empty() && self.is_dispatched(value);
                    node.alternatives.extend(self.all(value));
                }
                "allOf" | "not" | "if" | "then" | "else" => node.same.extend(self.all(value)),
                "dependentSchemas" | "dependencies" => {
                    for one in parts(value).into_iter().filter(|one| !one.is_array()) {
                        node.same.push(self.intern(one));
                    }
                }
                "properties" => {
                    for (name, one) in value.as_object().into_iter().flatten() {
                        node.properties.insert(name.clone(), self.intern(one));
                    }
                }
                "patternProperties" => {
                    node.own += parts(value).len() as u64;
                    for one in parts(value) {
                        node.each_property.push(self.intern(one));
                    }
                }
                "additionalProperties" | "unevaluatedProperties" => {
                    node.asks_of_each |= keyword.starts_with('u');
                    node.each_property.push(self.intern(value));
                }
                "propertyNames" => node.names.push(self.intern(value)),
                "prefixItems" => node.places.extend(self.all(value)),
                "items" if value.is_array() => node.places.extend(self.all(value)),
                "items" | "additionalItems" | "contains" | "unevaluatedItems" => {
                    node.asks_of_each |= keyword.starts_with('u');
                    node.each_item.push(self.intern(value));
                }
                "enum" => node.own += parts(value).len() as u64,
                _ => {}
            }
        }
        Ok(node)
    }

    /// Whether every alternative asks for another text of the same member: then only the one that fits is looked at.
    fn is_dispatched(&self, alternatives: &'a Value) -> bool {
        let constants = |schema: &'a Value| -> HashMap<&'a str, &'a str> {
            let target = schema.get("$ref").and_then(|reference| self.resolve(reference).ok());
            let schema = match target.as_deref() {
                Some([only]) => only,
                _ => schema,
            };
            let needed = |name: &str| {
                let required = schema.get("required").and_then(Value::as_array);
                required.is_some_and(|required| required.iter().any(|needed| needed == name))
            };
            let constant = |(name, property): (&'a String, &'a Value)| {
                let text = property.get("const")?.as_str()?;
                needed(name).then_some((&**name, text))
            };
            let properties = schema.get("properties").and_then(Value::as_object);
            properties.into_iter().flatten().filter_map(constant).collect()
        };
        let all: Vec<_> = parts(alternatives).into_iter().map(constants).collect();
        let Some(first) = all.first().filter(|_| all.len() >= DISPATCHED) else { return false };
        first.keys().any(|name| {
            let mut texts: Vec<_> = all.iter().filter_map(|one| one.get(name)).collect();
            texts.sort_unstable();
            texts.dedup();
            texts.len() == all.len()
        })
    }

    /// Where a reference may lead.
    fn resolve(&self, reference: &Value) -> Result<Vec<&'a Value>, String> {
        let text = reference.as_str().ok_or_else(|| format!("{reference} is no reference"))?;
        let (id, fragment) = text.split_once('#').unwrap_or((text, ""));
        let name = last_part(id);
        let documents = self
            .documents
            .iter()
            .filter(|(own, _)| id.is_empty() || *own == name)
            .map(|&(_, document)| document);
        let fragment = decoded(fragment).unwrap_or_default();
        let mut found: Vec<&'a Value> = if fragment.is_empty() || fragment.starts_with('/') {
            documents.filter_map(|document| document.pointer(&fragment)).collect()
        } else {
            self.anchors.get(&fragment).cloned().unwrap_or_default()
        };
        // The document may be among its named parts.
        found.sort_by_key(|place| std::ptr::from_ref(*place).addr());
        found.dedup_by_key(|place| std::ptr::from_ref(*place).addr());
        if found.is_empty() {
            return Err(format!("the reference \"{text}\" leads to no place in the schema"));
        }
        Ok(found)
    }
}

/// What is left of an `$id` however it is written: relative to another, or in full.
fn last_part(id: &str) -> &str {
    id.trim_end_matches('#').rsplit('/').next().unwrap_or(id)
}

/// A fragment without its percent signs.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// How many patterns a schema has.
pub(super) fn patterns(schema: &Value) -> usize {
    let (mut count, mut left) = (0, vec![schema]);
    while let Some(value) = left.pop() {
        count += usize::from(value.get("pattern").is_some_and(Value::is_string));
        count += value.get("patternProperties").map_or(0, |those| parts(those).len());
        left.extend(parts(value));
    }
    count
}

/// Finds what each subschema costs apart from the parts of its value; refuses those that never come to an end.
fn flatten(nodes: &mut [Node]) -> Result<(), String> {
    let edges = |node: &Node| -> Vec<usize> {
        node.same.iter().chain(&node.alternatives).copied().collect()
    };
    let order = in_order(nodes, edges).ok_or_else(|| {
        "a reference leads back to itself without a step into the value".to_owned()
    })?;
    let mut chain = vec![1_u64; nodes.len()];
    for at in order {
        let node = &nodes[at];
        let sum = |list: &[usize]| {
            list.iter().fold(Cost::default(), |sum, &other| sum.and(nodes[other].flat))
        };
        let dearest = node.alternatives.iter().map(|&other| nodes[other].flat.check).max();
        let alternatives =
            sum(&node.alternatives).of_alternatives(dearest.filter(|_| node.dispatched));
        let flat =
            Cost { check: node.own, explain: node.own }.and(sum(&node.same)).and(alternatives);
        chain[at] += edges(node).into_iter().map(|other| chain[other]).max().unwrap_or(0);
        if chain[at] > MAX_CHAIN {
            return Err(format!(
                "more than {MAX_CHAIN} references and alternatives stand inside each other"
            ));
        }
        if flat.check > MAX_STEPS {
            return Err(format!(
                "its alternatives come to more than {MAX_STEPS} once all references are followed"
            ));
        }
        nodes[at].flat = flat;
    }
    Ok(())
}

/// What any place of any value costs at most; `None` where references lead back, so that it depends on the value.
fn expanded(nodes: &[Node]) -> Result<Option<u64>, String> {
    let all = |node: &Node| -> Vec<usize> {
        node.same.iter().chain(&node.alternatives).copied().chain(node.below()).collect()
    };
    let Some(order) = in_order(nodes, all) else { return Ok(None) };
    let (mut size, mut depth) = (vec![0_u64; nodes.len()], vec![1_u64; nodes.len()]);
    for at in order {
        let node = &nodes[at];
        let parts = all(node).into_iter().fold(0_u64, |sum, other| sum.saturating_add(size[other]));
        // Alternatives are looked at twice when none fits.
        let again =
            node.alternatives.iter().fold(0_u64, |sum, &other| sum.saturating_add(size[other]));
        size[at] = node.own.saturating_add(parts).saturating_add(again);
        depth[at] += all(node).into_iter().map(|other| depth[other]).max().unwrap_or(0);
        if depth[at] > MAX_NESTED {
            return Err(format!("more than {MAX_NESTED} subschemas stand inside each other"));
        }
    }
    // What is asked of each member is known only with the value.
    let asks = nodes.iter().any(|node| node.asks_of_each);
    Ok(size.first().copied().filter(|_| !asks))
}

/// The nodes, each behind those that its edges lead to; `None` when there is a ring.
fn in_order(nodes: &[Node], edges: impl Fn(&Node) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut left: Vec<usize> = nodes.iter().map(|node| edges(node).len()).collect();
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for other in edges(node) {
            above[other].push(at);
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&at| left[at] == 0).collect();
    let mut next = 0;
    while let Some(&at) = order.get(next) {
        next += 1;
        for &one in &above[at] {
            left[one] -= 1;
            if left[one] == 0 {
                order.push(one);
            }
        }
    }
    (order.len() == nodes.len()).then_some(order)
}
