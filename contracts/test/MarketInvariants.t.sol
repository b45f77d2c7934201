// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Escrow} from "../src/Escrow.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IPredicates} from "../src/IPredicates.sol";
import {IStake} from "../src/IStake.sol";
import {Licenses} from "../src/Licenses.sol";
import {Split} from "../src/Split.sol";
import {Stake} from "../src/Stake.sol";
import {Cheats} from "./Cheats.sol";
import {EscrowFixture} from "./EscrowFixture.sol";
import {BlockingToken, MarketFixture} from "./MarketFixture.sol";

/// @notice Names the contract whose functions the fuzzer calls.
abstract contract Fuzzed is Cheats {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address internal _target;

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _target;
    }

    /// @notice The set-up is not an act.
    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0].addr = _target;
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = MarketFixture.setUp.selector;
    }
}

/// @notice Acts on jobs of every kind, in any order and often wrongly, and keeps its own books. Whatever is refused must
/// have changed nothing.
contract EscrowActor is EscrowFixture {
    uint256 public broken; // promises that were seen broken
    uint256 public refused; // acts that were refused
    uint256[5] public ended; // jobs that ended, by kind

    Escrow.Job[] private _jobs;
    uint256[] private _paid; // what the provider was seen to get of a job
    uint256[] private _refunded; // what the buyer was seen to get back
    BlockingToken private _blocking;

    function setUp() public override {
        super.setUp();
        _blocking = new BlockingToken(address(this));
        _setToken(_blocking);
        for (uint256 i = 0; i < 3; ++i) {
            _stake(i, 100);
        }
    }

    function fund(uint8 kind, uint96 amount, bool shared) external {
        if (_jobs.length >= 40) return;
        kind = uint8(_within(kind, 0, 4));
        Escrow.Job[5] memory kinds = [_result(), _panel(), _staked(600_000), _sampled(), _gold()];
        Escrow.Job memory job = kinds[kind];
        job.amount = uint96(_within(amount, 1, 1000));
        job.nonce = _jobs.length;
        job.splitKey = shared ? KEY : bytes32(0);
        job.deadline = uint64(block.timestamp) + 7 days;
        _jobs.push(job);
        _paid.push(0);
        _refunded.push(0);
        _fund(job);
    }

    function block_(bool who, bool to) external {
        _blocking.setBlocked(who ? provider : buyer, to);
    }

    function wait(uint32 time) external {
        vm.warp(block.timestamp + _within(time, 1, 2 days));
    }

    function accept(uint256 i, uint96 cumulative) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        uint96[] memory amounts = _amounts(_within(cumulative, 0, uint256(job.amount) + 1));
        bytes memory approval = _byBuyer(BUYER_KEY, _one(job), amounts, FOREVER);
        _act(i, stranger, abi.encodeCall(escrow.claim, (_one(job), amounts, FOREVER, approval)));
    }

    function evaluate(uint256 i, uint96 cumulative, bool alone) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        uint96[] memory amounts = _amounts(_within(cumulative, 0, job.amount));
        bytes memory approval = _byEvaluators(alone ? _who(0) : _who(0, 1), _one(job), amounts);
        _act(i, stranger, abi.encodeCall(escrow.claim, (_one(job), amounts, FOREVER, approval)));
    }

    function deliver(uint256 i, uint32 units, bool wrongly) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        bool gold = job.kind == GOLD;
        units = gold ? 8 : uint32(_within(units, 3, 8));
        bytes memory answers = gold ? (wrongly ? bytes(hex"0909090909090909") : ANSWERS) : bytes("");
        _act(i, provider, abi.encodeCall(escrow.deliver, (job, units, answers)));
    }

    function sample(uint256 i, uint32 a, uint32 b) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        bytes memory positions = abi.encodePacked(uint32(_within(a, 0, 2)), uint32(_within(b, 1, 7)));
        _act(i, buyer, abi.encodeCall(escrow.sample, (job, positions)));
    }

    function prove(uint256 i, uint32 a, uint32 b, bool wrongly) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        bytes memory evidence = OUTCOME;
        if (job.kind == SAMPLED) evidence = _opening(uint32(_within(a, 0, 2)), uint32(_within(b, 1, 7)));
        if (job.kind == GOLD) evidence = abi.encode(_test(2), wrongly ? bytes(hex"0909090909090909") : ANSWERS);
        _act(i, stranger, abi.encodeCall(escrow.prove, (job, evidence)));
    }

    function settle(uint256 i) external {
        if (_jobs.length == 0) return;
        _act(i, stranger, abi.encodeCall(escrow.settle, (_one(_jobs[i % _jobs.length]))));
    }

    function decline(uint256 i, bool wrongly) external {
        if (_jobs.length == 0) return;
        Escrow.Job memory job = _jobs[i % _jobs.length];
        _act(i, wrongly ? buyer : provider, abi.encodeCall(escrow.decline, (job)));
    }

    function draw(bool who) external {
        address account = who ? provider : buyer;
        if (_blocking.blocked(account) || split.creditOf(token, account) == 0) return;
        split.withdraw(account, token);
    }

    /// @dev One call on one job, with the books before and after.
    function _act(uint256 i, address sender, bytes memory call) private {
        i %= _jobs.length;
        bytes32 id = escrow.jobId(_jobs[i]);
        Escrow.Standing memory had = escrow.standingOf(id);
        (bytes32 before, uint256 gave, uint256 back) = (_state(), _received(true), _received(false));
        vm.prank(sender);
        (bool done,) = address(escrow).call(call);
        if (!done) {
            ++refused;
            if (_state() != before) ++broken;
            return;
        }
        _paid[i] += _received(true) - gave;
        _refunded[i] += _received(false) - back;
        Escrow.Standing memory has = escrow.standingOf(id);
        if (has.paid < had.paid || has.stage < had.stage || had.stage == Escrow.Stage.Closed) ++broken;
        if (has.stage == Escrow.Stage.Closed) ++ended[uint256(_jobs[i].kind)];
    }

    /// @dev All that was sent or credited: to providers and their shares, or to the buyer.
    function _received(bool ofProviders) private view returns (uint256) {
        uint256 buyers = token.balanceOf(buyer) + split.creditOf(token, buyer);
        return ofProviders ? token.totalSupply() - token.balanceOf(address(escrow)) - buyers : buyers;
    }

    function _state() private view returns (bytes32 state) {
        for (uint256 i = 0; i < _jobs.length; ++i) {
            state = keccak256(abi.encode(state, escrow.standingOf(escrow.jobId(_jobs[i]))));
        }
        return keccak256(
            abi.encode(
                state,
                token.balanceOf(address(escrow)),
                token.balanceOf(provider),
                token.balanceOf(buyer),
                split.totalCredits(token),
                token.allowance(address(escrow), address(split))
            )
        );
    }

    /// @notice What the escrow holds, and what it must hold.
    function books() external view returns (uint256 held, uint256 owed, uint256 wrong) {
        held = token.balanceOf(address(escrow));
        for (uint256 i = 0; i < _jobs.length; ++i) {
            Escrow.Standing memory standing = escrow.standingOf(escrow.jobId(_jobs[i]));
            bool closed = standing.stage == Escrow.Stage.Closed;
            if (!closed) owed += _jobs[i].amount - standing.paid;
            if (standing.paid != _paid[i]) ++wrong;
            if (_refunded[i] != (closed ? _jobs[i].amount - _paid[i] : 0)) ++wrong;
        }
    }
}

contract EscrowInvariants is Fuzzed {
    EscrowActor private _actor;

    function setUp() public {
        _actor = new EscrowActor();
        _actor.setUp();
        _target = address(_actor);
    }

    function invariant_it_holds_exactly_what_is_not_paid_or_refunded() public view {
        (uint256 held, uint256 owed, uint256 wrong) = _actor.books();
        vm.assertEq(held, owed, "held");
        vm.assertEq(wrong, 0, "paid + refunded = funded, for each job");
    }

    function invariant_nothing_is_undone_and_refusals_change_nothing() public view {
        vm.assertEq(_actor.broken(), 0, "broken promises");
    }

    /// @notice The acts must come about, or the promises above would hold of nothing.
    function test_the_actor_reaches_every_act() public {
        for (uint8 kind = 0; kind < 5; ++kind) {
            _actor.fund(kind, 99, kind % 2 == 0);
        }
        _actor.accept(0, 30);
        _actor.accept(0, 100);
        _actor.prove(0, 0, 0, false);
        _actor.evaluate(1, 50, true);
        _actor.evaluate(1, 100, false);
        _actor.evaluate(2, 50, false);
        _actor.decline(2, true);
        _actor.decline(2, false);
        _actor.deliver(3, 5, false);
        _actor.sample(3, 2, 3);
        _actor.prove(3, 2, 4, false);
        _actor.prove(3, 2, 3, false);
        _actor.deliver(4, 8, true);
        _actor.prove(4, 0, 0, true);
        _actor.fund(4, 5, false);
        _actor.fund(0, 5, false);
        _actor.deliver(5, 8, false);
        _actor.block_(true, true);
        _actor.block_(false, true);
        vm.warp(block.timestamp + 8 days);
        _actor.settle(5);
        _actor.settle(6);
        _actor.block_(true, false);
        _actor.block_(false, false);
        _actor.draw(true);
        _actor.draw(false);
        for (uint256 kind = 0; kind < 5; ++kind) {
            vm.assertGe(_actor.ended(kind), 1, "each kind ended");
        }
        vm.assertGe(_actor.refused(), 4, "some acts were refused");
        invariant_it_holds_exactly_what_is_not_paid_or_refunded();
        invariant_nothing_is_undone_and_refusals_change_nothing();
    }
}

/// @notice Sells under shares that change, pays receivers that are blocked and freed, grants and revokes.
contract SalesActor is MarketFixture {
    uint256 public paidIn;
    uint256 public drawn;
    uint256 public sold;
    uint256 public broken;

    BlockingToken private _blocking;
    bytes32[] private _ids;

    function setUp() public override {
        super.setUp();
        _blocking = new BlockingToken(address(this));
        _setToken(_blocking);
    }

    function _account(uint256 i) private view returns (address) {
        i %= 20;
        return i == 0 ? treasury : address(uint160(0xACC0000 + i));
    }

    function share(uint8 key, uint32[16] memory ppms, uint256 count) external {
        Split.Share[] memory shares = new Split.Share[](_within(count, 0, 16));
        uint256 left = 1_000_000;
        for (uint256 i = 0; i < shares.length; ++i) {
            uint32 ppm = uint32(_within(ppms[i], 1, left - (shares.length - 1 - i)));
            shares[i] = Split.Share(_account(i + 1), ppm);
            left -= ppm;
        }
        _setShares(bytes32(uint256(key % 3 + 1)), shares);
    }

    function pay(uint8 key, uint96 amount) external {
        amount = uint96(_within(amount, 1, 1000));
        uint256 had = credits();
        vm.prank(buyer);
        split.pay(bytes32(uint256(key % 4)), token, amount);
        if (credits() - had != amount) ++broken;
        paidIn += amount;
    }

    function credit(uint256 i, uint96 amount) external {
        amount = uint96(_within(amount, 1, 1000));
        vm.prank(buyer);
        split.credit(_account(i), token, amount);
        paidIn += amount;
    }

    function withdraw(uint256 i) external {
        uint256 amount = split.creditOf(token, _account(i));
        bytes32 before = _state();
        (bool done,) = address(split).call(abi.encodeCall(split.withdraw, (_account(i), token)));
        if (done) drawn += amount;
        else if (_state() != before) ++broken;
    }

    function block_(uint256 i, bool to) external {
        _blocking.setBlocked(_account(i), to);
    }

    function setOpen(bool open) external {
        vm.prank(owner);
        split.setToken(token, open);
    }

    function order(uint8 key, uint96 price, bytes32 salt) external {
        if (!split.isOpen(token)) return;
        Licenses.Offer memory offer = Licenses.Offer({
            token: IPayToken(address(token)),
            price: uint128(_within(price, 1, 1000)),
            mode: Licenses.Mode.Api,
            duration: 1 days,
            closesAt: type(uint64).max,
            scopeRoot: "scope",
            purposeHash: "purpose",
            codeHash: 0,
            splitKey: bytes32(uint256(key % 4))
        });
        if (!licenses.isOpen(licenses.offerId(offer))) {
            vm.prank(owner);
            licenses.approveOffer(offer);
        }
        bytes32 before = _state();
        bytes memory call = abi.encodeCall(licenses.order, (offer, Licenses.Order(stranger, 0, salt)));
        vm.prank(buyer);
        (bool done, bytes memory id) = address(licenses).call(call);
        if (!done) {
            if (_state() != before) ++broken;
            return;
        }
        _ids.push(abi.decode(id, (bytes32)));
        paidIn += offer.price;
        ++sold;
    }

    function revoke(uint256 i) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[i % _ids.length];
        Licenses.State had = licenses.grantOf(id).state;
        vm.prank(owner);
        (bool done,) = address(licenses).call(abi.encodeCall(licenses.revoke, (id)));
        if (done != (had == Licenses.State.Active) || licenses.isActive(id)) ++broken;
    }

    function credits() public view returns (uint256 sum) {
        for (uint256 i = 0; i < 20; ++i) {
            sum += split.creditOf(token, _account(i));
        }
    }

    function _state() private view returns (bytes32) {
        return keccak256(
            abi.encode(credits(), split.totalCredits(token), token.balanceOf(address(split)), token.balanceOf(buyer))
        );
    }

    function money() external view returns (uint256 inSplit, uint256 inLicenses, uint256 total) {
        return (token.balanceOf(address(split)), token.balanceOf(address(licenses)), split.totalCredits(token));
    }
}

contract SalesInvariants is Fuzzed {
    SalesActor private _actor;

    function setUp() public {
        _actor = new SalesActor();
        _actor.setUp();
        _target = address(_actor);
    }

    function invariant_the_split_holds_exactly_its_credits() public view {
        (uint256 inSplit, uint256 inLicenses, uint256 total) = _actor.money();
        vm.assertEq(inSplit, total, "balance");
        vm.assertEq(total, _actor.credits(), "sum of credits");
        vm.assertEq(total, _actor.paidIn() - _actor.drawn(), "paid in less drawn");
        vm.assertEq(inLicenses, 0, "licenses hold nothing");
    }

    function invariant_parts_make_the_price_and_refusals_change_nothing() public view {
        vm.assertEq(_actor.broken(), 0, "broken promises");
    }

    function test_the_actor_reaches_every_act() public {
        uint32[16] memory ppms;
        ppms[0] = 333_333;
        _actor.share(0, ppms, 2);
        _actor.pay(1, 99);
        _actor.credit(3, 5);
        _actor.block_(1, true);
        _actor.withdraw(1);
        _actor.block_(1, false);
        _actor.withdraw(1);
        _actor.order(1, 77, "first");
        _actor.order(1, 77, "first");
        _actor.revoke(0);
        _actor.revoke(0);
        _actor.setOpen(false);
        _actor.order(1, 77, "second");
        vm.assertEq(_actor.sold(), 1);
        vm.assertGe(_actor.drawn(), 1, "drawn");
        invariant_the_split_holds_exactly_its_credits();
        invariant_parts_make_the_price_and_refusals_change_nothing();
    }
}

/// @notice Puts down, takes out, withdraws and slashes, with faults named again and again, in two roles.
contract StakeActor is MarketFixture {
    uint256 public putIn;
    uint256 public withdrawn;
    uint256 public slashed;
    uint256 public broken;
    mapping(bytes32 faultId => uint256) public times;

    function _role(bool evaluator) private pure returns (IStake.Role) {
        return evaluator ? IStake.Role.Evaluator : IStake.Role.Gateway;
    }

    function stake(uint256 i, bool evaluator, uint96 amount) external {
        amount = uint96(_within(amount, 1, 1000));
        vm.prank(_evaluator(i % 3));
        stakes.stake(_role(evaluator), amount);
        putIn += amount;
    }

    function unstake(uint256 i, bool evaluator, uint96 amount) external {
        _act(_evaluator(i % 3), abi.encodeCall(stakes.unstake, (_role(evaluator), uint96(_within(amount, 0, 1000)))));
    }

    function withdraw(uint256 i, bool evaluator) external {
        address account = _evaluator(i % 3);
        Stake.Position memory position = stakes.positionOf(_role(evaluator), account);
        bool done = _act(stranger, abi.encodeCall(stakes.withdraw, (_role(evaluator), account)));
        if (done) withdrawn += position.leaving;
        if (done && block.timestamp < position.freeAt) ++broken;
    }

    function slash(uint256 i, bool evaluator, uint96 amount, uint8 fault, bool byOwner) external {
        bytes32 faultId = bytes32(uint256(fault % 8));
        uint256 had = token.balanceOf(treasury);
        bytes memory call = abi.encodeCall(
            stakes.slash, (_role(evaluator), _evaluator(i % 3), uint96(_within(amount, 0, 1500)), faultId)
        );
        if (!_act(byOwner ? owner : stranger, call)) return;
        slashed += token.balanceOf(treasury) - had;
        if (!byOwner) ++broken;
        if (++times[faultId] > 1) ++broken;
    }

    function wait(uint32 time) external {
        vm.warp(block.timestamp + _within(time, 1, 40 days));
    }

    function _act(address sender, bytes memory call) private returns (bool done) {
        bytes32 before = _state();
        vm.prank(sender);
        (done,) = address(stakes).call(call);
        if (!done && _state() != before) ++broken;
    }

    function _state() private view returns (bytes32 state) {
        for (uint256 i = 0; i < 3; ++i) {
            state = keccak256(
                abi.encode(
                    state,
                    stakes.positionOf(IStake.Role.Evaluator, _evaluator(i)),
                    stakes.positionOf(IStake.Role.Gateway, _evaluator(i)),
                    token.balanceOf(_evaluator(i))
                )
            );
        }
        return keccak256(abi.encode(state, stakes.totalHeld(), token.balanceOf(treasury)));
    }

    function books(bool evaluator) external view returns (uint256 staked, uint256 leaving, uint256 total) {
        for (uint256 i = 0; i < 3; ++i) {
            Stake.Position memory position = stakes.positionOf(_role(evaluator), _evaluator(i));
            staked += position.staked;
            leaving += position.leaving;
        }
        total = stakes.totalStake(_role(evaluator));
    }

    function money() external view returns (uint256 balance, uint256 held) {
        return (token.balanceOf(address(stakes)), stakes.totalHeld());
    }
}

contract StakeInvariants is Fuzzed {
    StakeActor private _actor;

    function setUp() public {
        _actor = new StakeActor();
        _actor.setUp();
        _target = address(_actor);
    }

    function invariant_it_holds_exactly_what_is_staked_and_leaving() public view {
        (uint256 balance, uint256 held) = _actor.money();
        (uint256 staked, uint256 leaving, uint256 total) = _actor.books(true);
        (uint256 others, uint256 othersLeaving, uint256 othersTotal) = _actor.books(false);
        vm.assertEq(staked, total, "total of a role");
        vm.assertEq(others, othersTotal, "total of another role");
        vm.assertEq(held, staked + leaving + others + othersLeaving, "held");
        vm.assertEq(balance, held, "balance");
        vm.assertEq(held, _actor.putIn() - _actor.withdrawn() - _actor.slashed(), "put in less what left");
    }

    function invariant_a_fault_is_punished_once_and_refusals_change_nothing() public view {
        vm.assertEq(_actor.broken(), 0, "broken promises");
    }

    function test_the_actor_reaches_every_act() public {
        _actor.stake(0, true, 999);
        _actor.stake(0, false, 500);
        _actor.unstake(0, true, 300);
        _actor.withdraw(0, true);
        _actor.slash(0, true, 100, 1, false);
        _actor.slash(0, true, 100, 1, true);
        _actor.slash(0, false, 100, 1, true);
        _actor.slash(0, true, 1500, 2, true);
        _actor.unstake(0, false, 300);
        _actor.wait(40 days - 1);
        _actor.wait(40 days - 1);
        _actor.withdraw(0, false);
        vm.assertEq(_actor.withdrawn(), 300);
        vm.assertEq(_actor.times(bytes32(uint256(1))), 1);
        vm.assertGe(_actor.slashed(), 101, "slashed");
        invariant_it_holds_exactly_what_is_staked_and_leaving();
        invariant_a_fault_is_punished_once_and_refusals_change_nothing();
    }
}
