package demo

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// The storm has to know what a client asked a broker for, and what it was told,
// from outside the client: so the gate in front of the broker reads the headers
// of Kafka's frames as they pass.

// The requests by which the gates count openings, by their API keys. surestart asks for metadata as
// it opens, and then only when a leader has moved. A kafka.Writer asks for metadata again and
// again, so of the naive producer it is ListOffsets, which only its Start asks.
const (
	keyListOffsets = 2
	keyMetadata    = 3
	keys           = keyMetadata + 1
)

// A tally counts requests and their answers, by API key.
type tally struct{ asked, answered [keys]atomic.Int64 }

// frames finds the headers of the frames in a stream that comes in pieces: four
// bytes of size, then the eight bytes that on is called with (fewer if the frame is shorter).
type frames struct {
	on   func(head []byte)
	head [12]byte
	have int
	left int // bytes of the frame that are still to pass
}

func (f *frames) feed(b []byte) {
	for len(b) > 0 {
		if f.left > 0 && f.have == 0 {
			n := min(f.left, len(b))
			f.left -= n
			b = b[n:]
			continue
		}
		want := 4
		if f.have >= 4 {
			want = 4 + min(8, f.left)
		}
		n := copy(f.head[f.have:want], b)
		f.have += n
		b = b[n:]
		if f.have == 4 {
			f.left = int(binary.BigEndian.Uint32(f.head[:]))
			if f.left == 0 {
				f.have = 0
			}
		} else if f.have == 4+min(8, f.left) && f.have > 4 {
			f.on(f.head[4:f.have])
			f.left -= f.have - 4
			f.have = 0
		}
	}
}

// probes counts the ListOffsets and Metadata requests of one connection, and the answers to them.
type probes struct {
	tally             *tally
	requests, replies frames

	mu      sync.Mutex
	pending map[uint32]uint16 // the API key, by correlation id
}

func newProbes(t *tally) *probes {
	p := &probes{tally: t, pending: make(map[uint32]uint16)}
	p.requests.on = p.request
	p.replies.on = p.reply
	return p
}

func (p *probes) request(head []byte) {
	if len(head) < 8 {
		return
	}
	key := binary.BigEndian.Uint16(head)
	if key != keyListOffsets && key != keyMetadata {
		return
	}
	p.mu.Lock()
	p.pending[binary.BigEndian.Uint32(head[4:])] = key
	p.mu.Unlock()
	p.tally.asked[key].Add(1)
}

func (p *probes) reply(head []byte) {
	if len(head) < 4 {
		return
	}
	id := binary.BigEndian.Uint32(head)
	p.mu.Lock()
	key, was := p.pending[id]
	delete(p.pending, id)
	p.mu.Unlock()
	if was {
		p.tally.answered[key].Add(1)
	}
}
