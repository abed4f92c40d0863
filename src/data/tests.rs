//! Data from files as experiments name them: found, split, varied, and refused with file and place.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use sims::Key;

use super::*;

/// What stands below `[data]`.
fn load(keys: &str, path: Option<&Path>) -> Result<Dataset, Error> {
    #[derive(Deserialize, schemars::JsonSchema)]
    struct File {
        data: DataConfig,
    }
    let document = Document::parse("a.toml", &format!("[data]\n{keys}")).unwrap();
    Dataset::load(&document.check::<File>()?.data, path, &document, Key::new(1))
}

fn error(keys: &str, path: &Path) -> String {
    let error = load(keys, Some(path)).unwrap_err();
    assert_eq!(error.exit_code(), if keys.contains("refused") { 3 } else { 4 });
    error.to_string().replace(&path.display().to_string(), "DATA")
}

/// An IDX file of bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Twelve training and four test images of 4×4 pixels, image k all of gray k.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let gray = |count: u8| (0..count).flat_map(|image| [image; 16]).collect::<Vec<u8>>();
    let put = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("train-images-idx3-ubyte", idx(&[12, 4, 4], &gray(12)));
    put("train-labels-idx1-ubyte.gz", zipped(&idx(&[12], &[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])));
    put("t10k-images-idx3-ubyte.gz", zipped(&idx(&[4, 4, 4], &gray(4))));
    put("t10k-labels-idx1-ubyte", idx(&[4], &[2, 1, 0, 2]));
    folder
}

const IDX: &str = "source = \"idx\"\nfolder = \"data/mnist\"\nclasses = 3\n";
const CSV: &str = "source = \"csv\"\nfile = \"vowels.csv\"\nlabel = \"vowel\"\nlabel_skip = 3\ntest = 2\n";
const VOWELS: &str = "vowel,F1,F2\nw01ae,600,2000\nw02ae,610,1900\nw01iy,300,2800\nw02iy,310,2900\nw03iy,320,2700\n";

#[test]
fn idx_folders_are_read_plain_and_gzip() {
    let folder = folder();
    let drawn = load(IDX, Some(folder.path())).unwrap();
    assert_eq!((drawn.width, drawn.meaning.len(), drawn.train.len(), drawn.test.len()), (16, 3, 11, 4));
    let whole = format!("{IDX}validation = 0\n");
    let all = load(&whole, Some(folder.path())).unwrap();
    assert_eq!(all.test.labels(), [2, 1, 0, 2]);
    assert_eq!(all.train.values[16 * 5], 5.0 / 255.0);
    let small = load(&format!("{IDX}average = 2\ntrain = 5\ntest = 2\n"), Some(folder.path())).unwrap();
    assert_eq!((small.width, small.train.len(), small.test.len()), (4, 5, 2));
    // Each label stays with its image.
    for (row, label) in small.train.values.chunks(4).zip(small.train.labels()) {
        assert_eq!((255.0 * row[0]).round() as u32 % 3, *label);
    }
    assert_eq!(load(&format!("{IDX}stride = 3\n"), Some(folder.path())).unwrap().width, 4);
    // The folder above, or one of the files, will do as well.
    let above = tempfile::tempdir().unwrap();
    std::fs::rename(folder.path(), above.path().join("mnist")).unwrap();
    assert_eq!(load(&whole, Some(above.path())).unwrap().train, all.train);
    assert_eq!(load(&whole, Some(&above.path().join("mnist/t10k-labels-idx1-ubyte"))).unwrap().train, all.train);
}

#[test]
fn idx_files_are_found_as_others_spell_them_and_where_others_put_them() {
    let all = load(IDX, Some(folder().path())).unwrap();
    let dotted = folder();
    for entry in std::fs::read_dir(dotted.path()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        std::fs::rename(entry.path(), dotted.path().join(name.replace("-idx", ".idx"))).unwrap();
    }
    assert_eq!(load(IDX, Some(dotted.path())).unwrap().train, all.train);
    let one = dotted.path().join("train-images.idx3-ubyte");
    assert_eq!(load(IDX, Some(&one)).unwrap().train, all.train);
    for place in ["MNIST/raw", "mnist/raw"] {
        let above = tempfile::tempdir().unwrap();
        std::fs::create_dir(above.path().join(&place[..5])).unwrap();
        std::fs::rename(folder().keep(), above.path().join(place)).unwrap();
        assert_eq!(load(IDX, Some(above.path())).unwrap().train, all.train, "{place}");
    }
    // Zeros behind the end, as a copy by block leaves them.
    let padded = folder();
    let file = padded.path().join("train-labels-idx1-ubyte.gz");
    let bytes = [std::fs::read(&file).unwrap(), vec![0; 512]].concat();
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(load(IDX, Some(padded.path())).unwrap().train, all.train);
}

#[test]
fn one_class_is_nothing_to_learn() {
    let same = folder();
    std::fs::write(same.path().join("train-labels-idx1-ubyte.gz"), idx(&[12], &[1; 12])).unwrap();
    assert!(error(IDX, same.path()).starts_with("DATA: all training rows have the same label: nothing can be learned"));
    let file = same.path().join("vowels.csv");
    std::fs::write(&file, VOWELS.replace("ae", "iy")).unwrap();
    assert!(error(CSV, &file).starts_with("DATA: all rows have the same label in column `vowel`"));
}

#[test]
fn csv_files_are_found_and_their_classes_are_the_ends_of_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("vowels")).unwrap();
    let file = folder.path().join("vowels/vowels.csv");
    std::fs::write(&file, VOWELS).unwrap();
    let dataset = load(CSV, Some(&file)).unwrap();
    assert_eq!((dataset.width, dataset.meaning.len(), dataset.train.len(), dataset.test.len()), (2, 2, 3, 2));
    assert_eq!(load(CSV, Some(folder.path())).unwrap().train, dataset.train);
    assert_eq!(load(CSV, Some(&folder.path().join("vowels"))).unwrap().train, dataset.train);
    assert!(
        error(&CSV.replace("label_skip = 3\n", ""), &file)
            .starts_with("DATA: each of its 5 rows has a label of its own in column `vowel`: nothing can be learned.")
    );
    assert_eq!(
        error(&CSV.replace("skip = 3", "skip = 6"), &file),
        "DATA:2: column `vowel` is `w01ae`, of which 6 characters are left out, but a label was expected"
    );
}

#[test]
fn data_that_is_nowhere_is_named_with_how_to_get_it() {
    let text = load(&format!("{IDX}obtain = \"Get it there.\"\n"), None).unwrap_err().to_string();
    assert!(text.starts_with("a.toml needs train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-"), "{text}");
    assert!(
        text.ends_with("nothing at data/mnist: name the file, or a folder that holds it, with --data. Get it there"),
        "{text}"
    );
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        error(CSV, empty.path()),
        "a.toml needs the file `vowels.csv` and there is nothing at DATA/vowels.csv or DATA/vowels/vowels.csv: name the file, \
         or a folder that holds it, with --data"
    );
    assert!(error(IDX, empty.path()).contains("nothing at DATA or DATA/mnist"));
    let folder = folder();
    std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert!(
        error(IDX, folder.path()).starts_with("DATA: there is no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz")
    );
}

#[test]
fn broken_idx_files_are_refused_with_file_and_byte() {
    let broken = |name: &str, bytes: Vec<u8>| {
        let folder = folder();
        let _ = std::fs::remove_file(folder.path().join(name.trim_end_matches(".gz")));
        std::fs::write(folder.path().join(name), bytes).unwrap();
        error(IDX, folder.path())
    };
    assert_eq!(
        broken("train-images-idx3-ubyte", idx(&[12], &[0; 12])),
        "DATA/train-images-idx3-ubyte: byte 0: the magic number is [0, 0, 8, 1], but [0, 0, 8, 3] was expected (bytes in 3 \
         dimensions)"
    );
    assert_eq!(
        broken("train-images-idx3-ubyte", idx(&[12, 4, 4], &[0; 100])),
        "DATA/train-images-idx3-ubyte: byte 116: the file ends here, but its header promises [12, 4, 4] values, 208 bytes in all"
    );
    assert_eq!(
        broken("t10k-labels-idx1-ubyte", idx(&[4], &[2, 1, 7, 2])),
        "DATA/t10k-labels-idx1-ubyte: byte 10: the label is 7, but there are 3 classes, 0 to 2: set data.classes if there are \
         more"
    );
    assert_eq!(
        broken("t10k-labels-idx1-ubyte", idx(&[3], &[2, 1, 0])),
        "DATA: 4 t10k images, but 3 labels: the two files do not belong together"
    );
    assert!(
        broken("t10k-images-idx3-ubyte.gz", zipped(&idx(&[4, 5, 5], &[0; 100])))
            .contains("4×4 pixels, but test images 5×5")
    );
}

#[test]
fn broken_gzip_is_refused_as_damaged() {
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let folder = folder();
        let mut bytes = zipped(&idx(&[4, 4, 4], &(0..64).collect::<Vec<u8>>()));
        change(&mut bytes);
        std::fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), bytes).unwrap();
        error(IDX, folder.path())
    };
    for change in [
        &(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 12)) as &dyn Fn(&mut Vec<u8>),
        &|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 4),
        &|bytes: &mut Vec<u8>| {
            let checksum = bytes.len() - 6;
            bytes[checksum] ^= 1;
        },
    ] {
        let text = broken(change);
        assert!(text.starts_with("DATA/t10k-images-idx3-ubyte.gz: unpacked, byte "), "{text}");
        assert!(text.ends_with("it is damaged, get it again"), "{text}");
    }
    // What is called gzip and is none is read as what it is.
    let folder = folder();
    std::fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), b"<html>not found</html>").unwrap();
    assert!(error(IDX, folder.path()).contains("the magic number is [60, 104, 116, 109]"));
}

#[test]
fn sizes_without_sense_are_refused_at_their_line() {
    let folder = folder();
    let refusal = |key: &str| error(&format!("{IDX}{key} # refused\n"), folder.path());
    assert_eq!(
        refusal("average = 3"),
        "a.toml:5: `data.average` is 3, but images of 4×4 do not divide into squares of it"
    );
    assert_eq!(refusal("stride = 0"), "a.toml:5: `data.stride` is 0, but it must be from 1 to 65536");
    assert!(refusal("train = 13").ends_with("there are 12 images: learn from 1 to 12"));
    assert!(refusal("train = 0").contains("`data.train` is 0"));
    assert!(refusal("test = 0").contains("`data.test` is 0"));
    assert!(refusal("range = { low = 1, high = 1.0 }").contains("`data.range` is 1 at both ends"));
    assert!(refusal("augmentation = { shift_x = 3.0 }").contains("`data.augmentation.shift_x` is 3"));
}

#[test]
fn augmentation_varies_training_rows_by_epoch_and_leaves_the_test_alone() {
    let keys = "source = \"digits\"\ntrain = 20\naugmentation = { rotation_degrees = 15.0, shift_y = 0.1 }\n";
    let (varied, plain) = (load(keys, None).unwrap(), load("source = \"digits\"\ntrain = 20\n", None).unwrap());
    assert_eq!((&varied.test, &varied.train), (&plain.test, &plain.train));
    assert_eq!(plain.batch(1, &[3, 4]), plain.train.pick(&[3, 4], 64));
    let (first, second) = (varied.batch(1, &[3, 4]), varied.batch(2, &[3, 4]));
    assert_eq!(first.1, second.1);
    assert_ne!(first.0, second.0);
    assert_eq!(first, varied.batch(1, &[3, 4]));
    assert!(first.0.iter().all(|value| (0.0..=1.0).contains(value)));
}

#[test]
fn one_target_is_said_as_one() {
    let target = |name: &str| Target { name: name.to_owned(), mean: 0.0, deviation: 1.0 };
    assert_eq!(Meaning::Targets(vec![target("y")]).outputs(), "target");
    assert_eq!(Meaning::Targets(vec![target("y"), target("z")]).outputs(), "targets");
}
