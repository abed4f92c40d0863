//! Files with the errors of a mesh that a plant names, in the form that is public with Sharpness-Aware-Training (Nat. Commun. 2026,
//! 10.1038/s41467-026-68470-9): six numpy arrays.
//!
//! `enn, enp, epn, epp` are the products √(1 ± e₁)·√(1 ± e₂) of the couplers' errors, `[modes, columns]`, with that of interferometer m of a
//! column in row 2m; `theta` and `phi` are phase errors in rad, `[columns, interferometers]`. From the products
//!
//! ```text
//! e₁ = (epp² − enn² + epn² − enp²)/4        e₂ = (epp² − enn² − epn² + enp²)/4
//! ```

use std::path::Path;

use drivers::{Batch, MEBIBYTE, read_bounded};
use sims::{Mesh, MeshPattern};

use super::RigConfig;
use crate::Error;
use crate::document::Document;

/// The most that is read of a file: 128 × 128 doubles are an eighth of it.
const MOST: u64 = MEBIBYTE;

/// Reads the errors of all meshes that name a folder of them, relative to `folder`.
pub(super) fn read_mesh_errors(config: &mut RigConfig, document: &Document, folder: &Path) -> Result<(), Error> {
    for (name, plant) in &mut config.plants {
        for (key, mesh) in plant.meshes() {
            // A run keeps the numbers beside the name.
            if mesh.pattern.is_some() || mesh.errors.is_empty() {
                continue;
            }
            let refuse = |message: String| document.refuse(&format!("plants.{name}.{key}.errors"), message);
            mesh.pattern = Some(read(mesh, &folder.join(&mesh.errors)).map_err(refuse)?);
        }
    }
    Ok(())
}

/// The pattern that a folder holds, or the rest of a sentence says why there is none.
fn read(mesh: &Mesh, folder: &Path) -> Result<MeshPattern, String> {
    let table = |name: &str| -> Result<Batch, String> {
        let path = folder.join(format!("{name}.npy"));
        let bytes = read_bounded(&path, MOST).map_err(|error| {
            format!("{}: cannot be read: {error}. Give a folder with enn, enp, epn, epp, theta and phi", path.display())
        })?;
        let table = calibration::read_npy(name, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        match table.values().iter().position(|value| !value.is_finite()) {
            None => Ok(table),
            Some(at) => {
                Err(format!("{}: holds {} in row {}", path.display(), table.values()[at], at / table.columns()))
            }
        }
    };
    let [enn, enp, epn, epp] = [table("enn")?, table("enp")?, table("epn")?, table("epp")?];
    let (theta, phi) = (table("theta")?, table("phi")?);
    let modes = mesh.modes;
    if [&enn, &enp, &epn, &epp].iter().any(|table| table.rows() != modes || table.columns() < modes) {
        return Err(format!(
            "{}: enn, enp, epn and epp are {} × {}, but a mesh of {modes} modes has {modes} × {modes}",
            folder.display(),
            epp.rows(),
            epp.columns()
        ));
    }
    let coupler = |sign: f32| -> Vec<Vec<f32>> {
        let error = |column: usize, row: usize| {
            let square = |table: &Batch| table.row(row)[column].powi(2);
            let (sum, difference) = (square(&epp) - square(&enn), square(&epn) - square(&enp));
            0.25 * (sum + sign * difference)
        };
        (0..modes).map(|column| (0..modes / 2).map(|place| error(column, 2 * place)).collect()).collect()
    };
    let rows = |table: &Batch| table.iter().map(<[f32]>::to_vec).collect::<Vec<_>>();
    let tables = [coupler(1.0), coupler(-1.0), rows(&theta), rows(&phi)];
    let [left, right, theta, phi] = &tables;
    MeshPattern::from_columns(modes, [left, right, theta, phi]).ok_or_else(|| {
        format!("{}: theta or phi has fewer numbers than a mesh of {modes} modes has interferometers", folder.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A numpy file with rows of doubles.
    fn npy(rows: &[Vec<f64>]) -> Vec<u8> {
        let header =
            format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, {}), }}", rows.len(), rows[0].len());
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn published_errors_become_those_of_each_interferometer() {
        let place = tempfile::tempdir().unwrap();
        // Four modes: two interferometers in even columns, one in odd ones.
        let (left, right) = (|c: usize, m: usize| 0.1 * (c + m) as f64, |c: usize, m: usize| -0.05 * (c * m) as f64);
        let product = |a: f64, b: f64| {
            let value = |row: usize, column: usize| {
                let (l, r) = (left(column, row / 2), right(column, row / 2));
                if row % 2 == 1 { 0.0 } else { ((1.0 + a * l) * (1.0 + b * r)).sqrt() }
            };
            (0..4).map(|row| (0..4).map(|column| value(row, column)).collect()).collect::<Vec<Vec<f64>>>()
        };
        let phases =
            |by: f64| (0..4).map(|c| (0..2).map(|m| by * f64::from(10 * c + m)).collect()).collect::<Vec<Vec<_>>>();
        let files = [
            ("enn", product(-1.0, -1.0)),
            ("enp", product(-1.0, 1.0)),
            ("epn", product(1.0, -1.0)),
            ("epp", product(1.0, 1.0)),
            ("theta", phases(0.01)),
            ("phi", phases(0.02)),
        ];
        for (name, rows) in &files {
            std::fs::write(place.path().join(format!("{name}.npy")), npy(rows)).unwrap();
        }
        let mesh = |modes: usize| Mesh { modes, ..Mesh::default() };
        let pattern = read(&mesh(4), place.path()).unwrap();
        let near = |found: &[f32], wanted: [f32; 6]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&pattern.left, [0.0, 0.1, 0.1, 0.2, 0.3, 0.3]), "{:?}", pattern.left);
        assert!(near(&pattern.right, [0.0, 0.0, 0.0, 0.0, -0.1, 0.0]), "{:?}", pattern.right);
        assert!(near(&pattern.phi, [0.0, 0.02, 0.2, 0.4, 0.42, 0.6]));
        let error = read(&mesh(8), place.path()).unwrap_err();
        assert!(error.contains("are 4 × 4, but a mesh of 8 modes has 8 × 8"), "{error}");
        std::fs::write(place.path().join("phi.npy"), b"no numbers").unwrap();
        let error = read(&mesh(4), place.path()).unwrap_err();
        assert!(error.contains("phi.npy") && error.contains("no numpy array"), "{error}");
        std::fs::remove_file(place.path().join("enn.npy")).unwrap();
        assert!(read(&mesh(4), place.path()).unwrap_err().contains("Give a folder with enn, enp"));
    }
}
