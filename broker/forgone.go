package broker

import (
	"slices"
	"sort"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// forgone holds the sequence numbers of messages that a durable session has lost while older ones still wait in its queue. The
// store may still have such a message for another session.
type forgone []storage.Places

// add adds a sequence number. Most come from the end in order, so few ranges are enough.
func (f *forgone) add(seq uint64) {
	all := *f
	i := sort.Search(len(all), func(i int) bool { return all[i].To+1 >= seq })
	if i == len(all) || seq+1 < all[i].From {
		*f = slices.Insert(all, i, storage.Places{From: seq, To: seq})
		return
	}
	all[i].From, all[i].To = min(all[i].From, seq), max(all[i].To, seq)
	if i+1 < len(all) && all[i].To+1 == all[i+1].From {
		all[i].To = all[i+1].To
		*f = slices.Delete(all, i+1, i+2)
	}
}

func (f forgone) has(seq uint64) bool {
	i := sort.Search(len(f), func(i int) bool { return f[i].To >= seq })
	return i < len(f) && f[i].From <= seq
}

// prune removes the sequence numbers up to a sent one.
func (f *forgone) prune(sent uint64) {
	for len(*f) > 0 && (*f)[0].To <= sent {
		*f = (*f)[1:]
	}
	if len(*f) == 0 {
		*f = nil
	}
}

// last returns the last sequence number; 0: none.
func (f forgone) last() uint64 {
	if len(f) == 0 {
		return 0
	}
	return f[len(f)-1].To
}
