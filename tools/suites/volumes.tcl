# Runs one of SQLite's test files where databases are volumes. The tests look at a database's file here and there; a
# volume is a directory, so they are shown the file that it stands for: its size and its bytes, and copying and deleting it.

# The answer to a query on a database, on a connection of its own.
proc ask_volume {path query} {
  sqlite3 volume_asked $path
  set failed [catch {volume_asked eval $query} answer]
  volume_asked close
  if {$failed} { error "$path: $answer" }
  return $answer
}

rename file plain_file
proc file {option args} {
  set path [lindex $args end]
  switch -glob -- $option {
    siz* {
      if {[plain_file isdirectory $path]} {
        return [expr [join [ask_volume $path {PRAGMA page_size; PRAGMA page_count}] *]]
      }
      # SQLite makes an empty file of a database when it is opened; a volume begins with what is written first.
      if {![plain_file exists $path]} { return 0 }
    }
    cop* {
      set from [lindex $args end-1]
      if {[plain_file isdirectory $from]} {
        ask_volume $from {PRAGMA plimsoll_sync}
        # Into a directory that is there it would be copied, instead of replacing it.
        if {[lindex $args 0] eq "-force"} { plain_file delete -force $path }
      }
    }
    del* {
      if {[lindex $args 0] ne "-force"} { set args [linsert $args 0 -force] }
      # What has the volume open may make a file in the directory while the others are being deleted.
      for {set tries 0} {$tries < 500 && [catch {uplevel 1 [list plain_file delete {*}$args]}]} {incr tries} { after 20 }
    }
  }
  uplevel 1 [list plain_file $option {*}$args]
}

# Reading the whole file.
rename open plain_open
proc open {path args} {
  if {[string match r* [lindex [concat $args r] 0]] && ![string match *+* [lindex $args 0]] && [plain_file isdirectory $path]} {
    sqlite3 volume_asked $path
    set bytes [volume_asked serialize]
    volume_asked close
    set copy [plain_open $path-bytes wb]
    puts -nonewline $copy $bytes
    close $copy
    set channel [plain_open $path-bytes {*}$args]
    plain_file delete $path-bytes
    return $channel
  }
  uplevel 1 [list plain_open $path {*}$args]
}

rename hexio_read plain_hexio_read
proc hexio_read {path offset amount} {
  if {![plain_file isdirectory $path]} { return [plain_hexio_read $path $offset $amount] }
  set size [ask_volume $path {PRAGMA page_size}]
  set hex ""
  while {$amount > 0} {
    set start [expr {$offset % $size}]
    set part [expr {$amount < $size - $start ? $amount : $size - $start}]
    append hex [ask_volume $path "SELECT hex(substr(data, $start + 1, $part)) FROM sqlite_dbpage('main')
      WHERE pgno = $offset / $size + 1"]
    incr offset $part
    incr amount -$part
  }
  return $hex
}

# Writes as a transaction, so only what keeps the database readable can be written thus.
rename hexio_write plain_hexio_write
proc hexio_write {path offset hex} {
  # Of a file that is not there the original says the same, and keeps its copy of the bytes.
  if {![plain_file exists $path]} { error "cannot open output file $path" }
  if {![plain_file isdirectory $path]} { return [plain_hexio_write $path $offset $hex] }
  set size [ask_volume $path {PRAGMA page_size}]
  set written [expr {[string length $hex] / 2}]
  while {$hex ne ""} {
    set start [expr {$offset % $size}]
    set part [string range $hex 0 [expr {2 * ($size - $start) - 1}]]
    set bytes [expr {[string length $part] / 2}]
    ask_volume $path "UPDATE sqlite_dbpage SET data =
      CAST(substr(data, 1, $start) || x'$part' || substr(data, $start + $bytes + 1) AS BLOB)
      WHERE pgno = $offset / $size + 1"
    incr offset $bytes
    set hex [string range $hex [string length $part] end]
  }
  return $written
}

# Runs a file one command after the other, but for some, which are named after their lines. Where one fails that is no case,
# that is a failed case, named in the same way, and the next one goes on.
proc run_in_parts {path left_out} {
  set channel [plain_open $path]
  set lines [split [read $channel] "\n"]
  close $channel
  info script $path
  set command ""
  set number 0
  foreach line $lines {
    incr number
    if {$command eq ""} { set first $number }
    append command $line "\n"
    if {[string index $line end] eq "\\" || ![info complete $command]} continue
    set code 0
    if {"line-$first" ni $left_out} { set code [catch {uplevel #0 $command} message] }
    if {$code == 2} return
    if {$code != 0} {
      incr_ntest
      output2 "line-$first...\nError: $message"
      fail_test line-$first
    }
    set command ""
  }
}

# Processes that write in turn. What a reader sees may be as old as twice the time between his looks, so each turn begins
# later than that.
if {[info exists env(PLIMSOLL_TEST_BUSY_TIMEOUT_MS)]} {
  set G(perm:presql) "PRAGMA busy_timeout = $env(PLIMSOLL_TEST_BUSY_TIMEOUT_MS)"
  rename source plain_source
  proc source {args} {
    uplevel 1 [list plain_source {*}$args]
    if {[file tail [lindex $args end]] ne "lock_common.tcl"} return
    rename testfixture plain_testfixture
    proc testfixture {args} {
      after [expr {5 * $::env(PLIMSOLL_FOLLOW_INTERVAL_MS)}]
      set code [catch {uplevel 1 [list plain_testfixture {*}$args]} answer]
      after [expr {5 * $::env(PLIMSOLL_FOLLOW_INTERVAL_MS)}]
      return -code $code $answer
    }
  }
}
set argv0 [lindex $argv 0]
set argv [lrange $argv 1 end]
if {[info exists env(PLIMSOLL_TEST_LEFT_OUT)]} {
  run_in_parts $argv0 $env(PLIMSOLL_TEST_LEFT_OUT)
} else {
  source $argv0
}
