//! Which tensors of two files are the same one.

use super::fixtures::file;
use super::*;
use crate::container::{ContainerKind, Element, Tensor, TensorIndex, canonical_name};

fn tensor(name: &str, element: Element, shape: &[u64], offset: u64) -> Tensor {
    let length_bytes = element.length_bytes(shape).unwrap();
    Tensor { name: name.into(), element, shape: shape.to_vec(), offset, length_bytes }
}

fn layout_of(tensors: Vec<Tensor>) -> Layout {
    Layout::checked(ContainerKind::Safetensors, tensors, None).unwrap()
}

/// Names that are the same tensor's, but for the last, in some order of bytes.
fn sample() -> Layout {
    layout_of(vec![
        tensor("layers.0.w", Element::F32, &[4, 2], 0),
        tensor("model.layers.0.w", Element::F32, &[4, 2], 32),
        tensor("layers.0.b", Element::F32, &[4], 64),
        tensor("", Element::F32, &[4], 80),
    ])
}

#[test]
fn a_canonical_name_has_no_prefix_of_wrappers() {
    for (name, canonical) in [
        ("layers.0.w", "layers.0.w"),
        ("model.layers.0.w", "layers.0.w"),
        ("state_dict.module.model.layers.0.w", "layers.0.w"),
        ("_orig_mod._fsdp_wrapped_module.module.w", "w"),
        ("module.", "module."),
        ("modules.w", "modules.w"),
        ("layers.model.w", "layers.model.w"),
        ("", ""),
    ] {
        assert_eq!(canonical_name(name.as_bytes()), canonical.as_bytes(), "{name}");
        assert_eq!(canonical_name(canonical.as_bytes()), canonical.as_bytes(), "once is enough");
    }
}

#[test]
fn a_tensor_is_found_under_the_names_of_another_wrapper() {
    let layout = sample();
    let wanted = tensor("module.layers.0.b", Element::F32, &[4], 1000);
    assert_eq!(layout.find(&wanted), Some(&layout.tensors[2]));
}

#[test]
fn the_same_name_comes_before_the_same_canonical_name() {
    let layout = sample();
    for at in [0, 1] {
        assert_eq!(layout.find(&layout.tensors[at]), Some(&layout.tensors[at]));
    }
    let wanted = tensor("module.layers.0.w", Element::F32, &[4, 2], 0);
    assert_eq!(layout.find(&wanted), Some(&layout.tensors[0]), "the first of the file");
}

#[test]
fn a_tensor_of_another_element_or_shape_or_without_a_name_is_not_found() {
    let layout = sample();
    let integer = Element::Integer { width_bytes: 4 };
    for wanted in [
        tensor("layers.0.b", integer, &[4], 0),
        tensor("layers.0.b", Element::F32, &[2, 2], 0),
        tensor("layers.0.c", Element::F32, &[4], 0),
        tensor("", Element::F32, &[4], 0),
    ] {
        assert_eq!(layout.find(&wanted), None, "{wanted:?}");
    }
}

#[test]
fn an_index_finds_what_the_layout_finds() {
    let layout = sample();
    let index = TensorIndex::new(&layout);
    for name in ["layers.0.w", "model.layers.0.w", "module.layers.0.w", "layers.0.b", "x", ""] {
        for shape in [&[4, 2][..], &[4], &[]] {
            let wanted = tensor(name, Element::F32, shape, 0);
            assert_eq!(index.find(&wanted), layout.find(&wanted), "{name} {shape:?}");
        }
    }
}

#[test]
fn a_tensor_with_more_rows_is_paired_by_its_name_and_unnamed_ones_by_their_order() {
    let before = layout_of(vec![
        tensor("model.embed", Element::Bf16, &[40, 8], 0),
        tensor("a", Element::F32, &[4, 2], 640),
        tensor("", Element::F32, &[10, 4], 672),
        tensor("", Element::F32, &[4], 832),
    ]);
    let now = |unnamed: &[(&[u64], u64)]| {
        let mut tensors = vec![
            tensor("a", Element::F32, &[4, 2], 0),
            tensor("a", Element::F32, &[4, 3], 32),
            tensor("b", Element::F32, &[4, 2], 80),
            tensor("embed", Element::Bf16, &[44, 8], 112),
            tensor("embed", Element::F16, &[40, 8], 816),
        ];
        tensors.extend(unnamed.iter().map(|(shape, offset)| tensor("", Element::F32, shape, *offset)));
        layout_of(tensors)
    };
    let paired = |layout: &Layout| {
        let pairs = TensorIndex::new(&before).pairs(layout);
        pairs.into_iter().map(|(number, former)| (number, former.offset)).collect::<Vec<_>>()
    };
    let named = [(0, 640), (3, 0)];
    let both = now(&[(&[12, 4], 2000), (&[6], 2200)]);
    assert_eq!(paired(&both), [&named[..], &[(5, 672), (6, 832)]].concat());
    // Another shape of rows; another number of tensors.
    assert_eq!(paired(&now(&[(&[12, 5], 2000), (&[4], 2300)])), [&named[..], &[(6, 832)]].concat());
    assert_eq!(paired(&now(&[(&[10, 4], 2000)])), named);
}

#[test]
fn versions_of_a_model_have_one_architecture_in_any_order_and_under_any_wrapper() {
    let first = layout_of(vec![
        tensor("model.a", Element::Bf16, &[4, 2], 0),
        tensor("model.b", Element::Bf16, &[4], 16),
    ]);
    let second = layout_of(vec![
        tensor("module.b", Element::Bf16, &[4], 100),
        tensor("module.a", Element::Bf16, &[4, 2], 200),
        tensor("", Element::F32, &[4], 300),
    ]);
    assert!(first.architecture().is_some());
    assert_eq!(first.architecture(), second.architecture());
    let protocols = [4, 5].map(|protocol| file(&format!("training-{protocol}.pt")));
    let [first, second] = protocols.map(|bytes| sound_layout(&bytes).unwrap().architecture());
    assert!(first.is_some());
    assert_eq!(first, second);
}

#[test]
fn another_name_element_or_shape_is_another_architecture() {
    let ids: Vec<_> = [
        vec![tensor("a", Element::Bf16, &[4, 2], 0)],
        vec![tensor("b", Element::Bf16, &[4, 2], 0)],
        vec![tensor("a", Element::F16, &[4, 2], 0)],
        vec![tensor("a", Element::Bf16, &[2, 4], 0)],
        vec![tensor("a", Element::Bf16, &[4, 2], 0), tensor("a", Element::Bf16, &[4, 2], 16)],
    ]
    .map(|tensors| layout_of(tensors).architecture())
    .into();
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
}

#[test]
fn tensors_without_names_have_no_architecture() {
    assert_eq!(sound_layout(&file("ivf-flat.faiss")).unwrap().architecture(), None);
}

#[test]
fn the_hash_of_an_architecture_never_changes() {
    let layout = layout_of(vec![tensor("model.a", Element::Bf16, &[4, 2], 0)]);
    let id = layout.architecture().unwrap();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0e70ad56a8e0718e57998d69ff4d309d");
}

#[test]
fn layouts_that_break_their_promises_are_not_sound() {
    let good = sample();
    assert!(good.is_sound(None) && good.is_sound(Some(96)));
    assert!(!good.is_sound(Some(95)), "ends behind the file");
    let broken = |change: fn(&mut Layout)| {
        let mut layout = good.clone();
        change(&mut layout);
        !layout.is_sound(None)
    };
    assert!(broken(|layout| layout.tensors.clear()));
    assert!(broken(|layout| layout.tensors.swap(0, 1)));
    assert!(broken(|layout| layout.tensors[1].offset -= 1));
    assert!(broken(|layout| layout.tensors[3].length_bytes += 4));
    assert!(broken(|layout| layout.tensors[3].length_bytes = 0));
    assert!(broken(|layout| layout.tensors[3].offset = u64::MAX - 4));
}
