use super::*;
use crate::route::slave_port;
use proptest::prelude::*;

/// Follows the connections from every source without using the router, and checks what must hold of any routing.
fn verify(flows: &[Flow], columns: u8, tokens: &BTreeSet<u8>, routes: &Routes) {
    let mut by_slave: BTreeMap<Node, Vec<u8>> = BTreeMap::new();
    let mut masters = BTreeSet::new();
    for c in &routes.connections {
        assert!(masters.insert((c.tile, c.master)), "{c:?}: a master with two slaves");
        assert!(is_legal(c.tile.kind(), c.slave, c.master), "{c:?} is illegal");
        if c.tile.kind() == TileKind::Shim && tokens.contains(&c.tile.col.0) {
            assert_ne!(c.master, 2, "{c:?}: South 0 belongs to the tokens");
        }
        by_slave.entry((c.tile, c.slave)).or_default().push(c.master);
    }
    let mut visited = BTreeSet::new();
    for flow in flows {
        let mut reached = BTreeSet::new();
        let mut open = vec![(flow.source.tile, flow.source.slave().expect("a source"))];
        while let Some(node @ (tile, _)) = open.pop() {
            assert!(visited.insert(node), "{node:?} carries two streams or a loop");
            let masters = by_slave.get(&node).unwrap_or_else(|| panic!("{node:?} is a dead end"));
            for &master in masters {
                match across(tile, master, columns) {
                    Some(next) => open.push(next),
                    None => assert!(reached.insert((tile, master)), "reached twice"),
                }
            }
        }
        let sinks: BTreeSet<_> = flow.sinks.iter().map(|s| (s.tile, s.master().expect("a sink"))).collect();
        assert_eq!(reached, sinks, "flow from {}", flow.source);
    }
    let used: BTreeSet<_> = by_slave.keys().copied().collect();
    assert_eq!(used, visited, "connections that belong to no flow");
}

fn routed(flows: &[Flow]) -> Routes {
    let tokens: BTreeSet<u8> = (0..4).collect();
    let routes = route(flows, 4, &tokens).expect("routes");
    verify(flows, 4, &tokens, &routes);
    routes
}

fn flow(source: Port, sinks: impl IntoIterator<Item = Port>) -> Flow {
    Flow { source, sinks: sinks.into_iter().collect() }
}

#[test]
fn up_through_a_mem_tile_on_one_lane() {
    let routes = routed(&[flow(Tile::shim(0).mm2s(0), [Tile::core(0, 0).s2mm(0)])]);
    let at = |tile| routes.connections.iter().find(|c| c.tile == tile).copied().expect("connected");
    let mem = at(Tile::mem(0));
    assert_eq!(slave_port(TileKind::Mem, mem.slave), Some(SwitchPort { bundle: Bundle::South, index: 0 }));
    assert_eq!(mem.master, 11);
    assert_eq!(at(Tile::shim(0)), Connection { tile: Tile::shim(0), master: 12, slave: 5 });
    assert_eq!(routes.connections.len(), 3);
}

/// The GEMM dataflow: A of mem tile r to core row r, B of mem tile c to core column c, C of every core to its mem tile.
fn gemm() -> Vec<Flow> {
    let mut flows = Vec::new();
    for c in 0..4 {
        flows.push(flow(Tile::shim(c).mm2s(0), [Tile::mem(c).s2mm(0)]));
        flows.push(flow(Tile::shim(c).mm2s(1), [Tile::mem(c).s2mm(1)]));
        flows.push(flow(Tile::mem(c).mm2s(0), (0..4).map(|i| Tile::core(i, c).s2mm(0))));
        flows.push(flow(Tile::mem(c).mm2s(1), (0..4).map(|r| Tile::core(c, r).s2mm(1))));
        for r in 0..4 {
            flows.push(flow(Tile::core(c, r).mm2s(0), [Tile::mem(c).s2mm(2 + r)]));
        }
        flows.push(flow(Tile::mem(c).mm2s(2), [Tile::shim(c).s2mm(0)]));
    }
    flows
}

#[test]
fn gemm_on_sixteen_cores() {
    let routes = routed(&gemm());
    // Links and sinks of the shortest trees: A of column c climbs c + 1 rows, then 3 columns, 4 sinks; B 4 rows, 4 sinks;
    // C of row r descends r + 1 rows, 1 sink; the result and both inputs one row, 1 sink each.
    let shortest: usize = (0..4).map(|c| (c + 1 + 3 + 4) + (4 + 4) + (1 + 2 + 3 + 4 + 4) + 3 * 2).sum();
    assert_eq!(routes.connections.len(), shortest);
}

#[test]
fn gemm_routes_in_any_order_of_declaration() {
    let mut flows = gemm();
    flows.reverse();
    routed(&flows);
    flows.rotate_left(13);
    routed(&flows);
}

#[test]
fn a_fifth_stream_down_has_no_lane() {
    let mut flows: Vec<Flow> = (0..4).map(|r| flow(Tile::core(0, r).mm2s(0), [Tile::mem(0).s2mm(r)])).collect();
    flows.push(flow(Tile::core(0, 0).mm2s(1), [Tile::mem(0).s2mm(4)]));
    let refused = route(&flows, 1, &BTreeSet::new());
    assert!(matches!(refused, Err(Error::NoRoute { .. })), "{refused:?}");
    // One with four is fine.
    flows.pop();
    let routes = route(&flows, 1, &BTreeSet::new()).expect("four lanes");
    verify(&flows, 1, &BTreeSet::new(), &routes);
}

#[test]
fn the_mem_row_has_no_way_sideways() {
    let flows = [flow(Tile::mem(0).mm2s(0), [Tile::mem(1).s2mm(0)])];
    let routes = routed(&flows);
    assert!(routes.connections.iter().any(|c| c.tile.row.0 != 1), "the detour leaves the mem row");
}

#[test]
fn a_connection_the_crossbar_lacks_takes_a_detour() {
    // DMA 0 of a mem tile reaches DMA 1 of the same tile only over a neighbour.
    assert!(!is_legal(TileKind::Mem, 0, 1));
    let routes = routed(&[flow(Tile::mem(0).mm2s(0), [Tile::mem(0).s2mm(1)])]);
    assert!(routes.connections.len() > 1);
    let direct = routed(&[flow(Tile::mem(0).mm2s(0), [Tile::mem(0).s2mm(0)])]);
    assert_eq!(direct.connections, [Connection { tile: Tile::mem(0), master: 0, slave: 0 }]);
}

#[test]
fn an_illegal_crossbar_connection_is_refused() {
    // South 1 to North 2 through a mem tile changes the lane.
    let tile = Tile::mem(2);
    let lane_change = Routes { connections: vec![Connection { tile, slave: 8, master: 13 }] };
    assert_eq!(lane_change.check(), Err(Error::IllegalConnection { tile, slave: 8, master: 13 }));
    let straight = Connection { tile, slave: 8, master: 12 };
    assert_eq!(Routes { connections: vec![straight] }.check(), Ok(()));
    let twice = Routes { connections: vec![straight, Connection { slave: 0, ..straight }] };
    assert_eq!(twice.check(), Err(Error::MasterTwice { tile, master: 12 }));
}

#[test]
fn roles_and_double_use_are_refused() {
    let none = BTreeSet::new();
    let (source, sink) = (Tile::shim(0).mm2s(0), Tile::mem(0).s2mm(0));
    assert_eq!(route(&[flow(sink, [source])], 4, &none), Err(Error::PortRole { port: sink, role: "source" }));
    assert_eq!(route(&[flow(source, [source])], 4, &none), Err(Error::PortRole { port: source, role: "sink" }));
    let twice = [flow(source, [sink]), flow(Tile::shim(0).mm2s(1), [sink])];
    assert_eq!(route(&twice, 4, &none), Err(Error::PortTwice { port: sink }));
    let far = Tile::mem(3).s2mm(0);
    let outside = route(&[flow(source, [far])], 2, &none);
    assert_eq!(outside, Err(Error::NoSuchTile { tile: Tile::mem(3), columns: 2 }));
    assert_eq!(route(&[flow(source, [])], 4, &none), Err(Error::Nothing { tile: source.tile, what: "sinks" }));
}

fn any_source() -> impl Strategy<Value = Port> {
    prop_oneof![
        (0u8..4, 0u8..2).prop_map(|(c, i)| Tile::shim(c).mm2s(i)),
        (0u8..4, 0u8..6).prop_map(|(c, i)| Tile::mem(c).mm2s(i)),
        (0u8..4, 0u8..4, 0u8..2).prop_map(|(c, r, i)| Tile::core(c, r).mm2s(i)),
        (0u8..4, 0u8..4).prop_map(|(c, r)| Tile::core(c, r).core_out()),
    ]
}

fn any_sink() -> impl Strategy<Value = Port> {
    prop_oneof![
        (0u8..4, 0u8..2).prop_map(|(c, i)| Tile::shim(c).s2mm(i)),
        (0u8..4, 0u8..6).prop_map(|(c, i)| Tile::mem(c).s2mm(i)),
        (0u8..4, 0u8..4, 0u8..2).prop_map(|(c, r, i)| Tile::core(c, r).s2mm(i)),
        (0u8..4, 0u8..4).prop_map(|(c, r)| Tile::core(c, r).core_in()),
    ]
}

proptest! {
    #[test]
    fn random_flows_route_legally_or_are_refused(
        wanted in prop::collection::vec((any_source(), prop::collection::vec(any_sink(), 1..5)), 1..12),
    ) {
        // Keep the first use of every port.
        let mut seen = BTreeSet::new();
        let mut flows = Vec::new();
        for (source, sinks) in wanted {
            let sinks: Vec<Port> = sinks.into_iter().filter(|&s| seen.insert(s)).collect();
            if seen.insert(source) && !sinks.is_empty() {
                flows.push(Flow { source, sinks });
            }
        }
        let tokens: BTreeSet<u8> = (0..4).collect();
        match route(&flows, 4, &tokens) {
            Ok(routes) => {
                verify(&flows, 4, &tokens, &routes);
                prop_assert_eq!(route(&flows, 4, &tokens), Ok(routes));
            }
            Err(Error::NoRoute { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
