use super::*;
use crate::base::limits::BLOCK_CHUNK_COUNT_MAX;
use crate::repository::ChunkReader;
use crate::repository::testing::TestRepository;

#[test]
fn more_tiny_chunks_than_a_block_may_hold_are_stored_and_read_back() {
    let test = TestRepository::new(1);
    let chunk = |number: u64| number.to_le_bytes();
    let id = |number: u64| test.repository.keys.data_id(&chunk(number));
    let count = BLOCK_CHUNK_COUNT_MAX + 1_000;
    let mut writer = ChunkWriter::new(test.repository.clone(), false).unwrap();
    for number in 0..count {
        writer.add_absent(id(number), &chunk(number), Hint::Unknown).unwrap();
    }
    assert_eq!(writer.finish().unwrap().new_chunks, count);
    let reader = ChunkReader::new(&test.repository);
    for number in (0..count).step_by(997).chain([count - 1]) {
        assert_eq!(reader.read(Content::Data, &id(number)).unwrap()[..], chunk(number));
    }
}
