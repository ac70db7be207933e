//! `bennu-lab timing`: the timing table of the simulator.

use aie2_sim::Timing;
use aie2_sim::timing::Row;
use anyhow::Result;
use serde_json::{Value, json};

/// Runs the verb.
pub fn run(json: bool) -> Result<()> {
    let rows = Timing::default().rows();
    if json {
        println!("{:#}", json!({ "timing": rows.iter().map(document).collect::<Vec<_>>() }));
    } else {
        println!("value, range, unit; A: measured on Phoenix, B: manual, C: provisional or split of a measured sum");
        rows.iter().for_each(|row| println!("{row}"));
    }
    Ok(())
}

fn document(row: &Row) -> Value {
    json!({
        "name": row.name,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "unit": row.unit,
        "confidence": format!("{:?}", row.confidence),
        "source": row.source,
        "range": row.range,
        "follows": row.follows(),
    })
}
