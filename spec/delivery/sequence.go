package delivery

import (
	"math/bits"
	"strconv"
	"strings"
)

// Messages is a sequence of messages of one partition. They are numbered from 1, in the
// order in which they were admitted. The first 0 ends the sequence.
type Messages [maxMessages]uint8

// MessagesOf returns the sequence of these messages.
func MessagesOf(ms ...uint8) (s Messages) {
	copy(s[:], ms)
	return s
}

// Len returns the number of messages.
func (s *Messages) Len() int {
	n := 0
	for n < len(s) && s[n] != 0 {
		n++
	}
	return n
}

// Set returns the messages of the sequence: In(s) in the TLA+.
func (s *Messages) Set() Set {
	var set Set
	for _, m := range s[:s.Len()] {
		set |= only(m)
	}
	return set
}

// String returns, for example, "<<1, 2>>".
func (s Messages) String() string { return "<<" + list(s[:s.Len()]) + ">>" }

// without is Without(s, S) of the TLA+: s without the messages of set.
func (s *Messages) without(set Set) (rest Messages) {
	n := 0
	for _, m := range s[:s.Len()] {
		if !set.Has(m) {
			rest[n] = m
			n++
		}
	}
	return rest
}

// cut returns the first n messages, and the others.
func (s *Messages) cut(n int) (head, tail Messages) {
	copy(head[:], s[:n])
	copy(tail[:], s[n:])
	return head, tail
}

// then is s \o t.
func (s Messages) then(t Messages) Messages {
	copy(s[s.Len():], t[:])
	return s
}

// SetOf returns the set of these messages.
func SetOf(ms ...uint8) (set Set) {
	for _, m := range ms {
		set |= only(m)
	}
	return set
}

func only(m uint8) Set { return 1 << (m - 1) }

// upTo is 1..n.
func upTo(n uint8) Set { return 1<<n - 1 }

// Has reports whether the message is in the set.
func (set Set) Has(m uint8) bool { return m != 0 && set&only(m) != 0 }

// String returns, for example, "{1, 2}".
func (set Set) String() string {
	var ms []uint8
	for rest := set; rest != 0; rest &= rest - 1 {
		ms = append(ms, uint8(bits.TrailingZeros64(uint64(rest)))+1)
	}
	return "{" + list(ms) + "}"
}

func list[T uint8 | Number](ns []T) string {
	var b strings.Builder
	for i, n := range ns {
		flag(&b, i > 0, ", ")
		b.WriteString(strconv.Itoa(int(n)))
	}
	return b.String()
}

// Requests is a sorted set of requests, so that equal sets are ==. The first zero request
// ends it.
type Requests [maxLate]Request

// Len returns the number of requests.
func (set *Requests) Len() int {
	n := 0
	for n < len(set) && set[n] != (Request{}) {
		n++
	}
	return n
}

// Has reports whether the request is in the set.
func (set *Requests) Has(r Request) bool {
	for i := range set.Len() {
		if set[i] == r {
			return true
		}
	}
	return false
}

// Add adds a request to the set. It returns false if the set has no room for it.
func (set *Requests) Add(r Request) bool {
	if set.Has(r) {
		return true
	}
	n := set.Len()
	if n == len(set) {
		return false
	}
	for ; n > 0 && r.before(&set[n-1]); n-- {
		set[n] = set[n-1]
	}
	set[n] = r
	return true
}

// String returns, for example, "{p1:<<1>>@1.0.0}".
func (set Requests) String() string {
	var all []string
	for _, r := range set[:set.Len()] {
		all = append(all, r.String())
	}
	return "{" + strings.Join(all, ", ") + "}"
}
