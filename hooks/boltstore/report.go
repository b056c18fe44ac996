package boltstore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// Bounds of a Report.
const (
	maxProblems = 20
	maxLargest  = 10
	maxShownKey = 200 // bytes, in their printed form
)

// Report is the result of a check.
type Report struct {
	Format    int   `json:"format"`
	FileBytes int64 `json:"file_bytes"`
	PageBytes int   `json:"page_bytes"`
	UsedPages int64 `json:"used_pages"`
	FreePages int64 `json:"free_pages"` // the rest of the file

	Spaces  []SpaceReport `json:"spaces"`
	Largest []Pair        `json:"largest"` // the largest pairs, largest first, at most 10

	Problems     []string `json:"problems"`      // the first 20, such as a value with a wrong checksum
	MoreProblems int      `json:"more_problems"` // number of further ones
}

// SpaceReport describes one space.
type SpaceReport struct {
	Name       string `json:"name"`
	Keys       int64  `json:"keys"`
	KeyBytes   int64  `json:"key_bytes"`
	ValueBytes int64  `json:"value_bytes"`
}

// Pair is a key and the size of its pair.
type Pair struct {
	Space string `json:"space"`
	Key   string `json:"key"`   // escaped as in Go, and cut if it is long
	Bytes int64  `json:"bytes"` // of key and value
}

// UsedBytes returns the size of the used part of the file.
func (r *Report) UsedBytes() int64 { return r.UsedPages * int64(r.PageBytes) }

// FreeBytes returns the size of the unused part of the file: later writes use it, and Compact returns it to the disk.
func (r *Report) FreeBytes() int64 { return r.FileBytes - r.UsedBytes() }

// Err returns nil if the store is sound, and otherwise an error that wraps ErrDamaged and names the first problem.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	err := errors.New(r.Problems[0])
	if more := len(r.Problems) - 1 + r.MoreProblems; more > 0 {
		err = fmt.Errorf("%w, and %d more", err, more)
	}
	return fmt.Errorf("%w: %w", err, ErrDamaged)
}

func (r *Report) problem(err error) {
	if len(r.Problems) == maxProblems {
		r.MoreProblems++
		return
	}
	r.Problems = append(r.Problems, err.Error())
}

// count counts a pair of the last space.
func (r *Report) count(key, value []byte) {
	s := &r.Spaces[len(r.Spaces)-1]
	s.Keys++
	s.KeyBytes += int64(len(key))
	s.ValueBytes += int64(len(value))
	bytes := int64(len(key) + len(value))
	at := len(r.Largest)
	for at > 0 && r.Largest[at-1].Bytes < bytes {
		at--
	}
	if at == maxLargest {
		return
	}
	if len(r.Largest) == maxLargest {
		r.Largest = r.Largest[:maxLargest-1]
	}
	r.Largest = slices.Insert(r.Largest, at, Pair{Space: s.Name, Key: readable(key), Bytes: bytes})
}

func newReport(format int) *Report {
	return &Report{Format: format, Spaces: make([]SpaceReport, 0, storage.Spaces), Largest: []Pair{}, Problems: []string{}}
}

// readable returns a key of arbitrary bytes in a printable form.
func readable(key []byte) string {
	text, more := string(key), ""
	if len(text) > maxShownKey {
		text, more = text[:maxShownKey], "..."
	}
	text = strconv.Quote(text)
	return text[1:len(text)-1] + more
}
