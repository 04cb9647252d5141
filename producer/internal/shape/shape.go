// Package shape checks that bytes have the shape of an answer before kafka-go decodes them.
//
// kafka-go's decoder allocates an array, and walks through it, before it checks that there are
// bytes for its elements. 20 bytes that claim two billion elements cost minutes, and the memory
// of as many elements. An answer that passes this check has the bytes that it claims, so its
// decoding needs memory in proportion.
package shape

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/segmentio/kafka-go/protocol"
)

// A Shape skips one value and returns the rest; ok is false if the bytes end before.
type Shape func(b []byte) (rest []byte, ok bool)

// A Version is a kind of request and its version.
type Version struct {
	Key    protocol.ApiKey
	Number int16
}

// Of returns the shape of kafka-go's answer in a version without flexible fields.
func Of(answer protocol.Message, version int16) Shape {
	return of(reflect.TypeOf(answer).Elem(), version)
}

func of(t reflect.Type, version int16) Shape {
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		size := int64(t.Size())
		return func(b []byte) ([]byte, bool) { return skip(b, size) }
	case reflect.String:
		return func(b []byte) ([]byte, bool) {
			if len(b) < 2 {
				return nil, false
			}
			return skip(b[2:], int64(int16(binary.BigEndian.Uint16(b))))
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return func(b []byte) ([]byte, bool) {
				b, n, ok := count(b)
				if !ok {
					return nil, false
				}
				return skip(b, n)
			}
		}
		return arrayOf(of(t.Elem(), version))
	case reflect.Struct:
		return structOf(t, version)
	}
	panic(fmt.Sprintf("shape: kafka-go has an answer with a %v", t))
}

// skip skips n bytes; a negative length means null.
func skip(b []byte, n int64) ([]byte, bool) {
	if n = max(n, 0); n > int64(len(b)) {
		return nil, false
	}
	return b[n:], true
}

// count reads the number of elements of an array.
func count(b []byte) (rest []byte, n int64, ok bool) {
	if len(b) < 4 {
		return nil, 0, false
	}
	return b[4:], int64(int32(binary.BigEndian.Uint32(b))), true
}

func arrayOf(element Shape) Shape {
	return func(b []byte) ([]byte, bool) {
		b, n, ok := count(b)
		if !ok || n > int64(len(b)) { // an element takes at least one byte
			return nil, false
		}
		for ; n > 0 && ok; n-- {
			b, ok = element(b)
		}
		return b, ok
	}
}

func structOf(t reflect.Type, version int16) Shape {
	var fields []Shape
	for i := range t.NumField() {
		f := t.Field(i)
		var lowest, highest int16
		tag := f.Tag.Get("kafka")
		if _, err := fmt.Sscanf(tag, "min=v%d,max=v%d", &lowest, &highest); err != nil {
			panic(fmt.Sprintf("shape: kafka-go's %v.%s has the tag %q", t, f.Name, tag))
		}
		if lowest <= version && version <= highest {
			fields = append(fields, of(f.Type, version))
		}
	}
	return func(b []byte) ([]byte, bool) {
		ok := true
		for i := 0; i < len(fields) && ok; i++ {
			b, ok = fields[i](b)
		}
		return b, ok
	}
}
