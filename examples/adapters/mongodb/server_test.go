package main

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

// A server takes the place of a MongoDB, which Debian does not have; other programs cannot use the
// driver's own mock deployment. It is a primary that speaks the part of the protocol that the
// program uses, on real connections, and keeps the inserts.
type server struct {
	t    *testing.T
	addr string

	mu       sync.Mutex
	ln       net.Listener // nil: down
	conns    map[net.Conn]bool
	inserted int
	farewell int           // endSessions
	asked    chan struct{} // receives one for each insert, once hold was called
	answer   chan struct{} // an insert waits for it
	all      sync.WaitGroup
}

// opQuery is deprecated, and what the driver says hello with.
const opQuery wiremessage.OpCode = 2004

// newServer has an address, and is down.
func newServer(t *testing.T) *server {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	s := &server{t: t, addr: free.Addr().String(), conns: make(map[net.Conn]bool)}
	t.Cleanup(s.down)
	return s
}

// uri leaves a start little patience, where it is to fail.
func (s *server) uri(options string) string { return "mongodb://" + s.addr + "/?" + options }

func (s *server) up() {
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.ln = ln
	s.mu.Unlock()
	s.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.all.Go(func() {
				s.serve(c)
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
				c.Close()
			})
		}
	})
}

func (s *server) down() {
	s.mu.Lock()
	if s.ln != nil {
		s.ln.Close()
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

// hold makes inserts wait. Each sends on asked, and is answered when answer is closed.
func (s *server) hold() (asked, answer chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.answer = make(chan struct{}, 10), make(chan struct{})
	return s.asked, s.answer
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inserted
}

// farewells is how often a client has ended its sessions before it left.
func (s *server) farewells() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.farewell
}

func (s *server) serve(c net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		message := make([]byte, binary.LittleEndian.Uint32(size[:]))
		copy(message, size[:])
		if _, err := io.ReadFull(c, message[4:]); err != nil {
			return
		}
		_, id, _, op, rest, ok := wiremessage.ReadHeader(message)
		var reply []byte
		switch {
		case ok && op == wiremessage.OpMsg:
			_, rest, _ = wiremessage.ReadMsgFlags(rest)
			_, rest, _ = wiremessage.ReadMsgSectionType(rest)
			doc, _, _ := wiremessage.ReadMsgSectionSingleDocument(rest)
			_, reply = wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), id, wiremessage.OpMsg)
			reply = wiremessage.AppendMsgFlags(reply, 0)
			reply = wiremessage.AppendMsgSectionType(reply, wiremessage.SingleDocument)
			reply = append(reply, s.do(bson.Raw(doc))...)
		case ok && op == opQuery: // the first hello
			_, reply = wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), id, wiremessage.OpReply)
			reply = wiremessage.AppendReplyFlags(reply, 0)
			reply = wiremessage.AppendReplyCursorID(reply, 0)
			reply = wiremessage.AppendReplyStartingFrom(reply, 0)
			reply = wiremessage.AppendReplyNumberReturned(reply, 1)
			reply = append(reply, s.do(nil)...)
		default:
			s.t.Errorf("the driver sent an operation %v", op)
			return
		}
		binary.LittleEndian.PutUint32(reply, uint32(len(reply)))
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// do carries out a command. Each answer also has the fields that a hello needs.
func (s *server) do(command bson.Raw) []byte {
	n := 0
	if _, err := command.LookupErr("endSessions"); err == nil {
		s.mu.Lock()
		s.farewell++
		s.mu.Unlock()
	}
	if _, err := command.LookupErr("insert"); err == nil {
		n = 1
		s.mu.Lock()
		asked, answer := s.asked, s.answer
		s.mu.Unlock()
		if asked != nil {
			asked <- struct{}{}
			<-answer
		}
		s.mu.Lock()
		s.inserted++
		s.mu.Unlock()
	}
	doc, err := bson.Marshal(bson.D{
		{Key: "ok", Value: 1}, {Key: "n", Value: n},
		{Key: "helloOk", Value: true}, {Key: "ismaster", Value: true}, {Key: "isWritablePrimary", Value: true},
		{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 25}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
		{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000},
	})
	if err != nil {
		s.t.Error(err)
	}
	return doc
}
