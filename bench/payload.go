package main

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
)

// random has the bytes of the payloads, which no compression makes smaller. A batch is smaller than
// this, so it has nothing twice.
var random = sync.OnceValue(func() []byte {
	b := make([]byte, 16<<20)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
})

var taken atomic.Int64

// payload returns the next size bytes of random.
func payload(size int) []byte {
	b := random()
	at := int(taken.Add(int64(size))) % (len(b) - size)
	return b[at : at+size : at+size]
}

// text returns about size bytes as services write them: JSON with names that repeat, and values
// that do not.
func text(size int) []byte {
	r := rand.New(rand.NewPCG(uint64(taken.Add(1)), 0))
	b := []byte(`{"service":"checkout","region":"eu-central-1"`)
	for len(b) < size {
		b = append(b, `,"`+[]string{"customer", "order", "amount", "currency", "status", "trace"}[r.IntN(6)]+`":"`+strconv.FormatUint(r.Uint64()>>20, 36)+`"`...)
	}
	return append(b, '}')
}
