// A kernel's text to instructions: registers get numbers, constants and addresses rows of their own, branches their targets.
#include <cctype>
#include <cstdlib>
#include <map>

#include "tests/ptx/memory.h"
#include "tests/ptx/module.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

// What a name stands for within a function: a register, or memory at an address.
struct Symbol {
  enum Kind { kRegister, kLocal, kElsewhere } kind;  // local memory, or another's
  int number = 0;
  u64 address = 0;
};

// Names and labels between { and }.
struct Scope {
  std::map<std::string, Symbol, std::less<>> symbols;
  std::map<std::string, int, std::less<>> labels;
  std::vector<std::pair<std::size_t, std::string>> branches;  // that want a label
};

struct Address {
  int base;
  i64 offset;
};

class Decoder {
 public:
  Decoder(const Module& module, Kernel& kernel) : module_(module), kernel_(kernel) {}

  void decode(const Function& function) {
    std::map<std::string, Symbol, std::less<>> names;
    std::vector<Declaration> declared;
    for (const std::string& text : function.parameters) {
      const Declaration& one = declared.emplace_back(text);
      kernel_.parameter_bytes = (kernel_.parameter_bytes + one.align - 1) / one.align * one.align;
      kernel_.parameters.push_back({kernel_.parameter_bytes, one.bytes});
      kernel_.parameter_bytes += one.bytes;
    }
    const std::size_t room = (kernel_.parameter_bytes + 128) / 128 * 128;
    kernel_.parameter_memory = static_cast<char*>(std::aligned_alloc(128, room));
    add_memory(kernel_.parameter_memory, room);
    for (std::size_t k = 0; k < declared.size(); ++k)
      names[declared[k].name] = {Symbol::kElsewhere, 0,
                                 reinterpret_cast<u64>(kernel_.parameter_memory) + kernel_.parameters[k].offset};
    body(function, names);
    Instruction end;
    end.flow = Flow::exit, end.text = "the end";
    emit(end, {});
    kernel_.shared_bytes = (kernel_.shared_bytes + 15) / 16 * 16;
    if (dynamic_shared_row_ < 0)
      kernel_.constants[static_cast<std::size_t>(-dynamic_shared_row_ - 1)] = kSharedBase + kernel_.shared_bytes;
    for (const u64 constant : kernel_.constants) kernel_.constant_rows.insert(kernel_.constant_rows.end(), kLanes, constant);
  }

 private:
  [[noreturn]] void refuse(std::string_view what, std::string_view text) {
    fail("{}: {}, {}:{}: {}", kernel_.name, what, file_name(module_, file_), line_, text);
  }

  void emit(Instruction instruction, std::vector<int> operands) {
    instruction.operands = std::move(operands);
    instruction.file = file_, instruction.line = line_;
    kernel_.code.push_back(std::move(instruction));
  }

  // A whole number and nothing else.
  i64 whole(const std::string& text) {
    char* end = nullptr;
    const i64 value =
        text[0] == '-' ? std::strtoll(text.c_str(), &end, 0) : static_cast<i64>(std::strtoull(text.c_str(), &end, 0));
    if (text.empty() || *end != '\0') refuse("expected a whole number", text);
    return value;
  }

  int constant(u64 value) {
    const auto [found, made] = constant_row_.try_emplace(value, 0);
    if (made) kernel_.constants.push_back(value), found->second = -static_cast<int>(kernel_.constants.size());
    return found->second;
  }

  const Symbol* find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto found = scope->symbols.find(name); found != scope->symbols.end()) return &found->second;
    return nullptr;
  }

  // Of predicates a constant is a bit a lane.
  int operand(std::string_view name, bool predicate = false) {
    static const std::map<std::string, int, std::less<>> special = {
        {"%tid.x", kTid},         {"%tid.y", kTid + 1},     {"%tid.z", kTid + 2},       {"%ctaid.x", kCtaid},
        {"%ctaid.y", kCtaid + 1}, {"%ctaid.z", kCtaid + 2}, {"%ntid.x", kNtid},         {"%ntid.y", kNtid + 1},
        {"%ntid.z", kNtid + 2},   {"%nctaid.x", kNctaid},   {"%nctaid.y", kNctaid + 1}, {"%nctaid.z", kNctaid + 2},
        {"%laneid", kLaneId}};
    if (name == "_") return kernel_.registers++;  // what is written there is never read
    if (const Symbol* symbol = find(name))
      return symbol->kind == Symbol::kRegister ? symbol->number : constant(symbol->address);
    if (const auto found = special.find(name); found != special.end()) return found->second;
    if (std::isdigit(static_cast<unsigned char>(name[0])) || name[0] == '-') {
      const std::string text(name);
      if (text.starts_with("0f") || text.starts_with("0F") || text.starts_with("0d") || text.starts_with("0D"))
        return constant(static_cast<u64>(whole("0x" + text.substr(2))));
      const auto value = static_cast<u64>(whole(text));
      return constant(predicate && value != 0 ? ~u64{0} : value);
    }
    if (const auto found = module_.globals.find(name); found != module_.globals.end()) return constant(found->second);
    if (const auto found = module_.shared.find(name); found != module_.shared.end()) return constant(shared_at(found->second));
    if (module_.dynamic_shared.contains(name)) {
      if (dynamic_shared_row_ == 0)
        kernel_.constants.push_back(0), dynamic_shared_row_ = -static_cast<int>(kernel_.constants.size());
      return dynamic_shared_row_;
    }
    refuse("a name that is not known", name);
  }

  u32 shared_at(const Declaration& variable) {
    const auto [found, made] = shared_at_.try_emplace(variable.name, 0);
    if (made) {
      kernel_.shared_bytes = (kernel_.shared_bytes + variable.align - 1) / variable.align * variable.align;
      found->second = kSharedBase + kernel_.shared_bytes;
      kernel_.shared_bytes += variable.bytes;
    }
    return found->second;
  }

  // "{%r1, %r2}" or "%r1".
  std::vector<int> vector_of(std::string_view text) {
    std::vector<int> registers;
    if (text[0] != '{') return {operand(text)};
    for (const std::string& name : split_list(text.substr(1, text.size() - 2))) registers.push_back(operand(name));
    return registers;
  }

  // "[base+offset]".
  Address address(std::string_view text) {
    std::string_view inside = trim(text.substr(1, text.size() - 2));
    i64 offset = 0;
    if (const std::size_t plus = inside.find('+'); plus != std::string_view::npos) {
      offset = whole(std::string(trim(inside.substr(plus + 1))));
      inside = inside.substr(0, plus);
    }
    return {operand(inside), offset};
  }

  // A function's body: `names` are its parameters and results, wherever they lie.
  void body(const Function& function, const std::map<std::string, Symbol, std::less<>>& names) {
    const std::size_t outer = scopes_.size();
    scopes_.emplace_back().symbols = names;
    std::vector<std::size_t> returns;
    std::swap(returns, returns_);
    const std::string_view text = function.body;
    for (std::size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (std::isspace(static_cast<unsigned char>(c)) || c == ';') {
        ++at;
      } else if (c == '{') {
        scopes_.emplace_back(), ++at;
      } else if (c == '}') {
        close_scope(outer), ++at;
      } else if (text.substr(at).starts_with(".loc\t") || text.substr(at).starts_with(".loc ")) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const auto words = split_words(text.substr(at, end - at));
        const int line = std::atoi(std::string(words[2]).c_str());
        if (line != 0) file_ = std::atoi(std::string(words[1]).c_str()), line_ = line;
        at = end;
      } else {
        std::size_t end = at;
        while (end < text.size() && in_identifier(text[end])) ++end;
        if (end > at && text[end] == ':' && text[end + 1] != ':') {
          scopes_.back().labels[std::string(text.substr(at, end - at))] = static_cast<int>(kernel_.code.size());
          at = end + 1;
          continue;
        }
        int depth = 0;
        for (end = at; end < text.size() && (text[end] != ';' || depth > 0); ++end)
          depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
        std::string one(trim(text.substr(at, end - at)));
        std::replace_if(
            one.begin(), one.end(), [](char space) { return space == '\n' || space == '\t'; }, ' ');
        if (one[0] == '.') declare(one);
        else instruction(one);
        at = end;
      }
    }
    close_scope(outer);
    std::swap(returns, returns_);
    for (const std::size_t one : returns) kernel_.code[one].target = static_cast<int>(kernel_.code.size());
  }

  // Branches find their labels; what is not here is further out, within the function, whose scopes begin after `outer` others.
  void close_scope(std::size_t outer) {
    Scope scope = std::move(scopes_.back());
    scopes_.pop_back();
    for (auto& [at, label] : scope.branches) {
      if (const auto found = scope.labels.find(label); found != scope.labels.end()) kernel_.code[at].target = found->second;
      else if (scopes_.size() > outer) scopes_.back().branches.emplace_back(at, label);
      else refuse("a label that is not known", label);
    }
  }

  void declare(const std::string& text) {  // .reg .b32 %r<13>, .local ..., .param ..., .shared ...
    const auto words = split_words(text);
    if (words[0] == ".reg") {
      for (const std::string& name : split_list(std::string_view(text).substr(text.find(words[1]) + words[1].size()))) {
        const std::size_t range = name.find('<');
        if (range == std::string::npos) {
          scopes_.back().symbols[name] = {Symbol::kRegister, kernel_.registers++};
          continue;
        }
        const int count = std::atoi(name.c_str() + range + 1);
        for (int k = 0; k < count; ++k)
          scopes_.back().symbols[name.substr(0, range) + std::to_string(k)] = {Symbol::kRegister, kernel_.registers++};
      }
    } else if (words[0] == ".local" || words[0] == ".param") {
      const Declaration variable(text);
      scopes_.back().symbols[variable.name] = {Symbol::kLocal, 0, kernel_.local_bytes};
      kernel_.local_bytes += (variable.bytes + 15) / 16 * 16;
    } else if (words[0] == ".shared") {
      const Declaration variable(text);
      scopes_.back().symbols[variable.name] = {Symbol::kElsewhere, 0, shared_at(variable)};
    } else if (words[0] != ".pragma") {
      refuse("a directive that is not known", text);
    }
  }

  void instruction(const std::string& text) {
    Instruction i;
    i.text = text;
    std::string_view rest = text;
    if (rest[0] == '@') {
      std::string_view guard = rest.substr(1, rest.find(' ') - 1);
      rest = trim(rest.substr(rest.find(' ')));
      if (guard[0] == '!') i.guard_negated = true, guard.remove_prefix(1);
      i.guard = operand(guard, true);
    }
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest = trim(rest.substr(word.size()));
    const Opcode opcode(word);
    const std::string& name = opcode.name();
    if (name == "bra") {
      i.flow = Flow::branch;
      scopes_.back().branches.emplace_back(kernel_.code.size(), rest);
      return emit(i, {});
    }
    if (name == "exit" || name == "ret") {
      i.flow = Flow::exit;
      if (name == "ret" && depth_ > 0) i.flow = Flow::branch, returns_.push_back(kernel_.code.size());
      return emit(i, {});
    }
    if (name == "call") {
      if (i.guard >= 0) refuse("a call under a predicate, which the interpreter does not know", text);
      return call(rest);
    }
    check_modifiers(opcode, text);
    const std::vector<std::string> arguments = split_list(rest);
    if (name == "bar") return barrier(i, opcode, arguments);
    for (const auto family : {find_arithmetic, find_conversion, find_transfer, find_product, find_async})
      if ((i.execute = family(opcode, i)) != nullptr) break;
    if (!i.execute) refuse("an instruction that the interpreter does not know", text);
    if (name == "ld" || name == "st") return access(i, opcode, arguments);
    if (name == "mov" && rest.find('{') != std::string_view::npos) return vector_move(i, opcode, arguments);
    if (name == "cp" || name == "mbarrier" || name == "atom") return with_addresses(i, opcode, arguments);
    if (name == "wgmma") return warpgroup(i, opcode, arguments);
    std::vector<int> operands, beside;
    for (std::size_t k = 0; k < arguments.size(); ++k) {
      const bool predicate = opcode.type() == "pred" || (name == "setp" && k == 0) || (name == "selp" && k == 3);
      const std::string& one = arguments[k];
      if (one[0] == '{') {
        for (const int each : vector_of(one)) operands.push_back(each);
      } else if (one[0] == '[') {
        const Address at = address(one);
        operands.push_back(at.base), i.value = at.offset;
      } else if (const std::size_t bar = one.find('|');
                 bar != std::string::npos) {  // a value and a predicate, which comes last
        operands.push_back(operand(one.substr(0, bar)));
        beside.push_back(operand(one.substr(bar + 1), true));
      } else {
        operands.push_back(operand(one, predicate));
      }
    }
    operands.insert(operands.end(), beside.begin(), beside.end());
    emit(i, operands);
  }

  // What an instruction may say of itself besides the types: anything else could change what it does.
  void check_modifiers(const Opcode& opcode, std::string_view text) {
    static const std::map<std::string, std::string_view, std::less<>> known = {
        {"add", "rn rz cc"},
        {"sub", "rn cc"},
        {"addc", "cc"},
        {"subc", "cc"},
        {"mul", "lo hi wide rn"},
        {"mad", "lo hi wide cc"},
        {"madc", "lo hi cc"},
        {"fma", "rn rm"},
        {"div", "rn"},
        {"rcp", "rn approx ftz"},
        {"sqrt", "rn"},
        {"ex2", "approx ftz"},
        {"setp", "eq ne lt le gt ge equ neu ltu leu gtu geu num nan"},
        {"cvt", "rn rzi rni rmi rpi sat"},
        {"cvta", "to global shared local param const"},
        {"ld", "global shared local param const nc cg volatile v2 v4"},
        {"st", "global shared local param volatile v2 v4"},
        {"atom", "global inc"},
        {"shfl", "sync bfly"},
        {"bar", "sync red or"},
        {"membar", "gl cta sys"},
        {"fence", "mbarrier_init release cluster proxy async shared::cta"},
        {"setmaxnreg", "inc dec sync aligned"},
        {"mma", "sync aligned m16n8k8 m16n8k16 row col"},
        {"ldmatrix", "sync aligned m8n8 x4 shared"},
        {"wgmma", "fence commit_group wait_group mma_async sync aligned"},
        {"cp",
         "async cg ca shared global commit_group wait_group bulk tensor 3d 4d shared::cluster mbarrier::complete_tx::bytes"},
        {"mbarrier", "init arrive expect_tx try_wait parity shared::cta"}};
    const auto found = known.find(opcode.name());
    const std::string allowed = found == known.end() ? "" : fmt::format(" {} ", found->second);
    for (std::size_t k = 1; k < opcode.parts.size(); ++k) {
      const std::string& part = opcode[k];
      const bool type = part == "pred" || part == "bf16" || part == "bf16x2" || part == "tf32" ||
                        (std::string_view("usbf").find(part[0]) != std::string_view::npos && part.size() > 1 &&
                         part.find_first_not_of("0123456789", 1) == std::string::npos);
      const bool shape = opcode.name() == "wgmma" && part.starts_with("m64n");
      if (!type && !shape && allowed.find(fmt::format(" {} ", part)) == std::string::npos)
        refuse(fmt::format("an instruction with .{}, which the interpreter does not know", part), text);
    }
  }

  void barrier(Instruction& i, const Opcode& opcode, const std::vector<std::string>& arguments) {
    i.flow = Flow::barrier;
    if (opcode.parts.size() == 2 && opcode[1] == "sync") {  // which, and of how many threads
      i.value = whole(arguments[0]);
      i.other = arguments.size() > 1 ? whole(arguments[1]) : 0;
      emit(i, {});
    } else if (opcode.parts.size() == 4 && opcode[1] == "red" && opcode[2] == "or" && arguments.size() == 3) {
      i.value = whole(arguments[1]);
      emit(i, {operand(arguments[0], true), operand(arguments[2], true)});
    } else {
      refuse("a barrier that the interpreter does not know", i.text);
    }
  }

  void access(Instruction& i, const Opcode& opcode, const std::vector<std::string>& arguments) {
    const bool load = opcode.name() == "ld";
    const std::string& where = arguments[load ? 1 : 0];
    std::vector<int> operands = vector_of(arguments[load ? 0 : 1]);
    i.parts = static_cast<u8>(operands.size());
    if (opcode.has("global") || opcode.has("const")) i.space = Space::global;
    if (opcode.has("shared")) i.space = Space::shared;
    if (opcode.has("local")) i.space = Space::local;
    if (opcode.has("param")) {  // a kernel's are global memory; what functions are given is the caller's local memory
      const Symbol* symbol = find(trim(std::string_view(where).substr(1, where.find_first_of("+]") - 1)));
      i.space = symbol && symbol->kind == Symbol::kLocal ? Space::local : Space::global;
    }
    const Address at = address(where);
    i.value = at.offset;
    operands.push_back(at.base);
    emit(i, operands);
  }

  void vector_move(Instruction& i, const Opcode& opcode, const std::vector<std::string>& arguments) {
    const bool apart = arguments[0][0] == '{';
    const std::vector<int> to = vector_of(arguments[0]), from = vector_of(arguments[1]);
    i.parts = static_cast<u8>(apart ? to.size() : from.size());
    i.value = 8 * size_of(opcode.type()) / i.parts;
    i.execute = apart ? unpack : pack;
    std::vector<int> operands = to;
    operands.insert(operands.end(), from.begin(), from.end());
    emit(i, operands);
  }

  void with_addresses(Instruction& i, const Opcode& opcode, const std::vector<std::string>& arguments) {
    if (opcode.has("commit_group") || opcode.has("wait_group")) {
      i.value = arguments.empty() ? 0 : whole(arguments[0]);
      return emit(i, {});
    }
    if (opcode.name() == "atom") {  // d, [a], b
      const Address at = address(arguments[1]);
      i.space = Space::global, i.value = at.offset;
      kernel_.blocks_meet = true;
      return emit(i, {operand(arguments[0]), at.base, operand(arguments[2])});
    }
    if (opcode.name() == "mbarrier") {  // [a], count; _, [a], bytes; done, [a], parity
      const std::size_t where = opcode.has("init") ? 0 : 1;
      const Address at = address(arguments[where]);
      i.value = at.offset;
      std::vector<int> operands;
      if (opcode.has("arrive") && !opcode.has("expect_tx") && arguments.size() > 2)
        refuse("a count that the interpreter does not know", i.text);
      if (opcode.has("try_wait")) operands.push_back(operand(arguments[0], true));
      operands.push_back(at.base);
      if (arguments.size() > where + 1) operands.push_back(operand(arguments[where + 1]));
      return emit(i, operands);
    }
    if (opcode.has("bulk")) {  // [to], [map, {corner}], [barrier]
      const auto source = split_list(std::string_view(arguments[1]).substr(1, arguments[1].size() - 2));
      const std::vector<int> corner = vector_of(source[1]);
      i.parts = static_cast<u8>(corner.size());
      const Address to = address(arguments[0]), barrier = address(arguments[2]);
      if (to.offset != 0 || barrier.offset != 0) refuse("an offset that the interpreter does not know", i.text);
      std::vector<int> operands = {to.base, operand(source[0])};
      operands.insert(operands.end(), corner.begin(), corner.end());
      operands.push_back(barrier.base);
      return emit(i, operands);
    }
    const Address to = address(arguments[0]), from = address(arguments[1]);  // [to], [from], bytes, valid bytes
    i.value = to.offset, i.other = from.offset;
    i.parts = static_cast<u8>(whole(arguments[2]));
    emit(i, {to.base, from.base, arguments.size() > 3 ? operand(arguments[3]) : constant(i.parts)});
  }

  // {sums}, a or {a}, b, scales and, in bf16, whether a and b go down.
  void warpgroup(Instruction& i, const Opcode& opcode, const std::vector<std::string>& arguments) {
    if (!opcode.has("mma_async")) {
      i.value = arguments.empty() ? 0 : whole(arguments[0]);
      return emit(i, {});
    }
    std::vector<int> operands = vector_of(arguments[0]);
    const std::vector<int> a = vector_of(arguments[1]);
    operands.insert(operands.end(), a.begin(), a.end());
    operands.push_back(operand(arguments[2]));
    for (std::size_t k = 3; k < 6; ++k)
      if (arguments[k] != "1") refuse("a scale that the interpreter does not know", i.text);
    if (a.size() == 4) i.other |= kWgmmaFromRegisters;
    if (arguments.size() != (a.size() == 4 || opcode.has("tf32") ? 6 : 8))
      refuse("operands that the interpreter does not know", i.text);
    if (arguments.size() > 6) {
      if (arguments[6] != arguments[7]) refuse("operands of which one goes down", i.text);
      if (arguments[6] == "1") i.other |= kWgmmaDown;
    }
    emit(i, operands);
  }

  // (results), name, (arguments): the function's body comes here, its parameters being what the caller has set aside.
  void call(std::string_view text) {
    const auto parts = split_list(text);
    std::size_t at = 0;
    const auto inside = [](std::string_view list) { return split_list(list.substr(1, list.size() - 2)); };
    std::vector<std::string> results, arguments;
    if (parts[at][0] == '(') results = inside(parts[at++]);
    const std::string name = parts[at++];
    if (at < parts.size()) arguments = inside(parts[at]);
    const auto found = module_.functions.find(name);
    if (found == module_.functions.end()) refuse("a call of a function that is not in the module", name);
    std::map<std::string, Symbol, std::less<>> names;
    const auto bind = [&](const std::vector<std::string>& formal, const std::vector<std::string>& actual) {
      if (formal.size() != actual.size()) refuse("a call with another number of arguments", name);
      for (std::size_t k = 0; k < formal.size(); ++k) {
        const Symbol* symbol = find(actual[k]);
        if (!symbol) refuse("an argument that is not known", actual[k]);
        names[Declaration(formal[k]).name] = *symbol;
      }
    };
    bind(found->second.parameters, arguments), bind(found->second.results, results);
    if (++depth_ > 32) refuse("calls within calls, more than 32 deep", name);
    const int file = file_, line = line_;
    body(found->second, names);
    file_ = file, line_ = line;
    --depth_;
  }

  const Module& module_;
  Kernel& kernel_;
  std::vector<Scope> scopes_;
  std::vector<std::size_t> returns_;  // of the function that is being put in line
  std::map<u64, int> constant_row_;
  std::map<std::string, u32> shared_at_;
  int dynamic_shared_row_ = 0, depth_ = 0, file_ = 0, line_ = 0;
};

}  // namespace

Opcode::Opcode(std::string_view text) {
  std::string part;
  for (const char c : text) {
    if (c == '.') parts.push_back(std::exchange(part, {}));
    else part += c;
  }
  parts.push_back(part);
}

std::unique_ptr<Kernel> decode(const Module& module, const std::string& name) {
  const auto found = module.functions.find(name);
  if (found == module.functions.end())
    fail("no PTX of the kernel {}: its file was compiled for real architectures alone", name);
  auto kernel = std::make_unique<Kernel>();
  kernel->name = name, kernel->module = &module, kernel->most_threads = found->second.most_threads;
  Decoder(module, *kernel).decode(found->second);
  return kernel;
}

}  // namespace ptx
