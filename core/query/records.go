package query

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/nnid/nnid/core/fault"
)

// scan visits every whole record between start and size and returns where the last one ends. It sets rows and recovery.
func (j *Journal) scan(size int64, visit func(payload []byte, rows int)) (end int64, err error) {
	j.rows, j.asked, j.recovery = 0, 0, Recovery{}
	at := j.start
	end = at
	var buffer []byte
	for at < size {
		asked, err := j.notice(at, size)
		if err != nil {
			return 0, err
		}
		if asked > 0 {
			j.asked += asked
			if at += noticeLength; at-noticeLength == end {
				end = at
			}
			continue
		}
		payload, rows, before, err := j.record(at, size, &buffer)
		if err != nil {
			return 0, err
		}
		if payload == nil || before < j.rows {
			if at, err = j.nextMark(at+1, size); err != nil {
				return 0, err
			}
			continue
		}
		if at > end && before > j.rows { // whole records after a damaged stretch
			j.recovery.LostRecords++
			j.recovery.LostRows += before - j.rows
		}
		visit(payload, rows)
		j.rows = before + int64(rows)
		j.recovery.Rows += int64(rows)
		at += recordHead + int64(len(payload)) + recordTail
		end = at
	}
	return end, nil
}

// record reads the record at the given place; payload is nil when there is no whole one.
func (j *Journal) record(at, size int64, buffer *[]byte) (payload []byte, rows int, before int64, err error) {
	var head [recordHead]byte
	if size-at < recordHead+recordTail {
		return nil, 0, 0, nil
	}
	if err := j.readAt(head[:], at); err != nil {
		return nil, 0, 0, err
	}
	n := int64(binary.LittleEndian.Uint32(head[8:]))
	d := int64(binary.LittleEndian.Uint32(head[12:]))
	numbers := d + int64(j.outputs()) // a row
	sofar := binary.LittleEndian.Uint64(head[16:])
	if !bytes.Equal(head[:8], recordMark) || d != int64(j.identity.Inputs) || n < 1 || sofar > math.MaxInt64/2 ||
		n > (size-at-recordHead-recordTail)/(8*numbers) {
		return nil, 0, 0, nil
	}
	length := int(8*n*numbers) + recordTail
	if cap(*buffer) < length {
		*buffer = make([]byte, length)
	}
	body := (*buffer)[:length]
	if err := j.readAt(body, at+recordHead); err != nil {
		return nil, 0, 0, err
	}
	payload = body[:length-recordTail]
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
	if binary.LittleEndian.Uint32(body[len(payload):]) != sum {
		return nil, 0, 0, nil
	}
	return payload, int(n), int64(sofar), nil
}

// notice reads the notice at the given place and returns its rows, 0 where there is no whole one.
func (j *Journal) notice(at, size int64) (rows int64, err error) {
	var notice [noticeLength]byte
	if size-at < noticeLength {
		return 0, nil
	}
	if err := j.readAt(notice[:], at); err != nil {
		return 0, err
	}
	if !bytes.Equal(notice[:8], noticeMark) || binary.LittleEndian.Uint32(notice[12:]) != crc32.Checksum(notice[:12], castagnoli) {
		return 0, nil
	}
	return int64(binary.LittleEndian.Uint32(notice[8:])), nil
}

// nextMark returns the place of the next mark at or after the given place, or size.
func (j *Journal) nextMark(at, size int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for at < size {
		part := chunk[:min(int64(len(chunk)), size-at)]
		if err := j.readAt(part, at); err != nil {
			return 0, err
		}
		k := bytes.Index(part, recordMark)
		if n := bytes.Index(part, noticeMark); n >= 0 && (k < 0 || n < k) {
			k = n
		}
		if k >= 0 {
			return at + int64(k), nil
		}
		if at+int64(len(part)) >= size {
			break
		}
		at += int64(len(part) - len(recordMark) + 1) // a mark may straddle two chunks
	}
	return size, nil
}

func (j *Journal) readAt(p []byte, at int64) error {
	if _, err := j.file.ReadAt(p, at); err != nil {
		return fault.New(fault.Usage, "the journal %s cannot be read: %w", j.path, cause(err))
	}
	return nil
}
