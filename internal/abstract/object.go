package abstract

import "fmt"

// Status is the state of the atomic object: what callers can observe of the resource
// between two calls.
type Status struct{ Open, Final bool }

// String returns "open", "not open" or "closed".
func (s Status) String() string {
	switch {
	case s.Open:
		return "open"
	case s.Final:
		return "closed"
	}
	return "not open"
}

// Op is a call of the atomic object with its result: InStart, InStop, InShut or InUse, and
// an Out without its number.
type Op struct {
	Call Call
	Out  Out
}

// Failure is the operation of a failure report: the resource dies, or was not open.
var Failure = Op{}

// Revival is the operation of a restart that has opened the resource while no Start
// waited for it.
var Revival = Op{Idle, Ok}

// Object is the atomic object that the contract implements: each call takes effect at once,
// in one of three states. It maps a state and an operation to the possible next states.
type Object map[Status]map[Op][]Status

// Object derives the atomic object from the model's graph (G3: linearizable). A Start takes
// effect in the step that answers it, a Stop or Shutdown in the step that begins the closing
// or finds the resource closed, a use in the step that admits or refuses it. Object returns
// an error if a step of no call changes what callers observe: then the contract would not be
// linearizable to this object.
func (m Model) Object() (Object, error) {
	var (
		o    = Object{}
		stop = map[Call]map[Out]bool{InStop: {}, InShut: {}} // the possible results of a Stop or Shutdown
		err  error
	)
	add := func(from Status, op Op, to Status) {
		if o[from] == nil {
			o[from] = map[Op][]Status{}
		}
		for _, known := range o[from][op] {
			if known == to {
				return
			}
		}
		o[from][op] = append(o[from][op], to)
	}
	m.Graph(func(e Edge) {
		from, to := e.From.status(), e.To.status()
		var ops []Op
		for c := range e.From.Call {
			was, is, out := e.From.Call[c], e.To.Call[c], e.To.Out[c].Out
			switch {
			case was == is:
			case was == InStop || was == InShut:
				ops = append([]Op{{was, None}}, ops...) // the caller that acts comes first; the others get their results
				if is == Done {
					stop[was][out] = true
				}
			case was == StopWait || was == ShutWait:
				stop[was-1][out] = true
			case (was == InStart || was == Join) && is == Done, was == InUse && is == Done:
				ops = append(ops, Op{kindOf(was), out})
			case was == InUse:
				ops = append(ops, Op{InUse, Ok})
			}
		}
		switch {
		case e.Action == Died:
			ops = append(ops, Failure)
		case e.Action == Opened && len(ops) == 0 && e.From.Again:
			ops = append(ops, Revival)
		}
		if len(ops) == 0 && from != to && err == nil {
			err = fmt.Errorf("abstract: %v changes what callers observe from %v to %v, and belongs to no call", e.Action, from, to)
		}
		for _, op := range ops {
			add(from, op, to)
			from = to
		}
	})
	for from, of := range o {
		for kind, outs := range stop { // now that their results are known
			for _, to := range of[Op{kind, None}] {
				for out := range outs {
					add(from, Op{kind, out}, to)
				}
			}
			delete(of, Op{kind, None})
		}
		add(from, Failure, from)
	}
	return o, err
}

func kindOf(where Call) Call {
	if where == Join {
		return InStart
	}
	return where
}

func (s *State) status() Status { return Status{s.Res == Open, s.Final} }
