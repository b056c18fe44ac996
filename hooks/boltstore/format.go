package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// The file, format 2. Each space has a bucket for its keys. A bbolt key has 1 to 32,768 bytes, but a topic may have
// up to 65,535: a longer key is stored in the space's second bucket under its SHA-256, with the key itself in front
// of the value. Every value ends with a CRC-32C of key and value, since bbolt has checksums of its meta pages only.
//
//	outcry           "format" → "2"
//	retained         key → value crc32
//	retained.long    SHA-256 of key → length of key (4 bytes) key value crc32
//
// Format 1 had the space of retained messages only. Opening such a file adds the missing buckets. A program for
// format 1 would not see them, and so refuses a file of format 2.

const (
	format        = 2
	maxPlainKey   = bbolt.MaxKeySize
	checksumBytes = 4
)

var (
	metaBucket = []byte("outcry")
	formatKey  = []byte("format")
	roomKey    = []byte("room") // without meaning: see tryWanted
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// spaceNames are the names of the spaces' buckets; they are part of the format.
var spaceNames = [storage.Spaces]string{
	storage.SpaceRetained:      "retained",
	storage.SpaceSessions:      "sessions",
	storage.SpaceSubscriptions: "subscriptions",
	storage.SpaceFlows:         "flows",
	storage.SpaceMessages:      "messages",
	storage.SpaceNotes:         "notes",
}

var errChecksum = errors.New("checksum does not match")

func plainBucket(s storage.Space) []byte { return []byte(spaceNames[s]) }
func longBucket(s storage.Space) []byte  { return []byte(spaceNames[s] + ".long") }

func isLong(key string) bool { return len(key) == 0 || len(key) > maxPlainKey }

// appendValue appends key's value in file format.
func appendValue(dst []byte, key string, value []byte) []byte {
	start := len(dst)
	if isLong(key) {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(key)))
		dst = append(dst, key...)
	}
	dst = append(dst, value...)
	return binary.BigEndian.AppendUint32(dst, checksum([]byte(key), dst[start:]))
}

// appendKey appends key's bbolt key.
func appendKey(dst []byte, key string) []byte {
	if !isLong(key) {
		return append(dst, key...)
	}
	sum := sha256.Sum256([]byte(key))
	return append(dst, sum[:]...)
}

// parseValue is the inverse of appendKey and appendValue. Its results refer to k and v.
func parseValue(long bool, k, v []byte) (key, value []byte, err error) {
	if len(v) < checksumBytes {
		return nil, nil, errChecksum
	}
	v, want := v[:len(v)-checksumBytes], binary.BigEndian.Uint32(v[len(v)-checksumBytes:])
	key, value = k, v
	if long {
		if len(v) < 4 || uint64(binary.BigEndian.Uint32(v)) > uint64(len(v)-4) {
			return nil, nil, errChecksum
		}
		n := binary.BigEndian.Uint32(v)
		key, value = v[4:4+n], v[4+n:]
		if sum := sha256.Sum256(key); !bytes.Equal(sum[:], k) {
			return nil, nil, errChecksum
		}
	}
	if checksum(key, v) != want {
		return nil, nil, errChecksum
	}
	return key, value, nil
}

func checksum(key, stored []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, stored)
}

// prepare creates the buckets of a new file, or refuses a file of another format.
func prepare(tx *bbolt.Tx) error {
	if err := checkFormat(tx); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if err := meta.Put(formatKey, formatValue()); err != nil {
		return err
	}
	for s := range storage.Space(storage.Spaces) {
		for _, name := range [][]byte{plainBucket(s), longBucket(s)} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("make bucket %q: %w", name, err)
			}
		}
	}
	return nil
}

func formatValue() []byte { return strconv.AppendInt(nil, format, 10) }

func checkFormat(tx *bbolt.Tx) error {
	_, err := readFormat(tx)
	return err
}

// readFormat returns the file's format; 0: a new file.
func readFormat(tx *bbolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return 0, ErrForeign
		}
		return 0, nil // a new file
	}
	found, err := strconv.ParseUint(string(meta.Get(formatKey)), 10, 31)
	switch {
	case err != nil || found == 0:
		return 0, fmt.Errorf("no format: %w", ErrDamaged)
	case found > format:
		return 0, fmt.Errorf("format %d, and this one knows up to %d: %w", found, format, ErrNewer)
	}
	return int(found), nil
}

// isPrepared reports whether prepare has nothing to do, so that opening the file need not write to it.
func isPrepared(tx *bbolt.Tx) bool {
	meta := tx.Bucket(metaBucket)
	if meta == nil || !bytes.Equal(meta.Get(formatKey), formatValue()) {
		return false
	}
	for s := range storage.Space(storage.Spaces) {
		if tx.Bucket(plainBucket(s)) == nil || tx.Bucket(longBucket(s)) == nil {
			return false
		}
	}
	return true
}
