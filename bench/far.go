package main

import (
	"net"
	"sync"
	"time"
)

// slow is a connection that delays everything by half of a delay each way. It does not limit the
// bandwidth: any number of requests may be on their way.
type slow struct {
	net.Conn
	half time.Duration
	out  chan parcel
	in   chan parcel
	gone chan struct{}
	once sync.Once

	mu  sync.Mutex // of what follows
	had []byte     // arrived, not read yet
	err error
}

// A parcel is on its way until its time has come.
type parcel struct {
	due   time.Time
	bytes []byte
	err   error
}

// slowly makes a connection slow. It does not support read deadlines, because nothing is lost here.
func slowly(c net.Conn, delay time.Duration) net.Conn {
	s := &slow{Conn: c, half: delay / 2, out: make(chan parcel, 4096), in: make(chan parcel, 4096), gone: make(chan struct{})}
	go s.carry()
	go s.fetch()
	return s
}

// carry writes what is due.
func (s *slow) carry() {
	for {
		select {
		case p := <-s.out:
			time.Sleep(time.Until(p.due))
			if _, err := s.Conn.Write(p.bytes); err != nil {
				s.Conn.Close()
				return
			}
		case <-s.gone:
			return
		}
	}
}

// fetch reads data as soon as it arrives.
func (s *slow) fetch() {
	for {
		b := make([]byte, 64<<10)
		n, err := s.Conn.Read(b)
		select {
		case s.in <- parcel{time.Now().Add(s.half), b[:n], err}:
		case <-s.gone:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *slow) Write(b []byte) (int, error) {
	select {
	case s.out <- parcel{due: time.Now().Add(s.half), bytes: append([]byte(nil), b...)}:
		return len(b), nil
	case <-s.gone:
		return 0, net.ErrClosed
	}
}

func (s *slow) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.had) == 0 && s.err == nil {
		select {
		case p := <-s.in:
			time.Sleep(time.Until(p.due))
			s.had, s.err = p.bytes, p.err
		case <-s.gone:
			s.err = net.ErrClosed
		}
	}
	if len(s.had) == 0 {
		return 0, s.err
	}
	n := copy(b, s.had)
	s.had = s.had[n:]
	return n, nil
}

func (s *slow) Close() error {
	s.once.Do(func() { close(s.gone) })
	return s.Conn.Close()
}
