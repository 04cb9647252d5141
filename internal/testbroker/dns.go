package testbroker

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
)

// Names is a name server of a test, in this process.
type Names struct {
	mu    sync.Mutex
	hosts map[string][]net.IP
}

// Set sets the addresses of a host. A host without addresses does not exist.
func (s *Names) Set(host string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = make(map[string][]net.IP)
	}
	s.hosts[host] = nil
	for _, a := range addrs {
		s.hosts[host] = append(s.hosts[host], net.ParseIP(a).To4())
	}
}

// Resolver returns a resolver that uses it.
func (s *Names) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.serve(server)
		return client, nil
	}}
}

// serve answers questions in the format for TCP: each message after its length.
func (s *Names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer := s.answer(question)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer returns an answer of RFC 1035: a header of 12 bytes, the question, and a record for
// each address if it is an A question.
func (s *Names) answer(q []byte) []byte {
	const header = 12
	var labels []string
	end := header
	for q[end] != 0 {
		n := int(q[end])
		labels = append(labels, string(q[end+1:end+1+n]))
		end += 1 + n
	}
	end += 5 // the root, the type and the class
	kind := binary.BigEndian.Uint16(q[end-4:])

	s.mu.Lock()
	addrs := s.hosts[strings.Join(labels, ".")]
	s.mu.Unlock()
	a := append([]byte(nil), q[:end]...)
	binary.BigEndian.PutUint16(a[2:], 0x8180) // an answer; recursion was available
	clear(a[6:header])
	if addrs == nil {
		a[3] |= 3 // no such name
		return a
	}
	if kind != 1 { // there are no IPv6 addresses
		return a
	}
	binary.BigEndian.PutUint16(a[6:], uint16(len(addrs)))
	for _, ip := range addrs {
		a = append(a, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4) // the name; A, IN, for a second, 4 bytes
		a = append(a, ip...)
	}
	return a
}
