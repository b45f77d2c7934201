// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Escrow} from "../src/Escrow.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IPredicates} from "../src/IPredicates.sol";
import {MarketFixture} from "./MarketFixture.sol";

/// @notice Jobs of every kind, what signs for them, and what proves them.
abstract contract EscrowFixture is MarketFixture {
    IPredicates.Kind internal constant RESULT = IPredicates.Kind.Result;
    IPredicates.Kind internal constant PANEL = IPredicates.Kind.Panel;
    IPredicates.Kind internal constant STAKED = IPredicates.Kind.Staked;
    IPredicates.Kind internal constant SAMPLED = IPredicates.Kind.Sampled;
    IPredicates.Kind internal constant GOLD = IPredicates.Kind.Gold;
    uint96 internal constant AMOUNT = 100e6;
    uint64 internal constant DEADLINE = uint64(START) + 7 days;
    uint64 internal constant FOREVER = type(uint64).max;
    bytes internal constant OUTCOME = "the result";
    bytes internal constant ANSWERS = hex"0102030401020304";

    function _job(IPredicates.Kind kind, bytes32 predicate) internal view returns (Escrow.Job memory) {
        bool waits = kind == SAMPLED || kind == GOLD;
        return Escrow.Job({
            buyer: buyer,
            provider: provider,
            token: IPayToken(address(token)),
            amount: AMOUNT,
            deadline: DEADLINE,
            window: waits ? 1 days : 0,
            units: 8,
            kind: kind,
            predicate: predicate,
            splitKey: 0,
            subject: keccak256("what it is about"),
            nonce: 1
        });
    }

    function _result() internal view returns (Escrow.Job memory) {
        return _job(RESULT, keccak256(OUTCOME));
    }

    /// @dev Two of the three evaluators.
    function _panel() internal view returns (Escrow.Job memory) {
        return _job(PANEL, keccak256(abi.encodePacked(uint256(2), _members())));
    }

    function _staked(uint256 ppm) internal view returns (Escrow.Job memory) {
        return _job(STAKED, bytes32(ppm));
    }

    function _sampled() internal view returns (Escrow.Job memory) {
        return _job(SAMPLED, _node(0, 8));
    }

    function _gold() internal view returns (Escrow.Job memory) {
        return _job(GOLD, keccak256(_test(2)));
    }

    function _members() internal view returns (address[] memory members) {
        members = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            members[i] = _evaluator(i);
        }
    }

    function _unit(uint256 position) internal pure returns (bytes memory) {
        return abi.encodePacked("unit ", position);
    }

    /// @dev The node over `count` units from `first` on, of a tree of eight with sorted pairs.
    function _node(uint256 first, uint256 count) internal pure returns (bytes32) {
        if (count == 1) return keccak256(bytes.concat(keccak256(abi.encode(first, keccak256(_unit(first))))));
        return Hashes.commutativeKeccak256(_node(first, count / 2), _node(first + count / 2, count / 2));
    }

    function _path(uint256 position) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](3);
        proof[0] = _node(position ^ 1, 1);
        proof[1] = _node((position / 2 ^ 1) * 2, 2);
        proof[2] = _node((position / 4 ^ 1) * 4, 4);
    }

    function _opening(uint32 a, uint32 b) internal pure returns (bytes memory) {
        bytes[] memory units = new bytes[](2);
        (units[0], units[1]) = (_unit(a), _unit(b));
        bytes32[][] memory proofs = new bytes32[][](2);
        (proofs[0], proofs[1]) = (_path(a), _path(b));
        return abi.encode(abi.encodePacked(a, b), units, proofs);
    }

    /// @dev Questions at 0, 3 and 7; the answers there are 01, 04 and 04, so two of three are right.
    function _test(uint16 least) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes32("salt"), least, uint32(0), hex"01", uint32(3), hex"05", uint32(7), hex"04");
    }

    function _one(Escrow.Job memory job) internal pure returns (Escrow.Job[] memory jobs) {
        jobs = new Escrow.Job[](1);
        jobs[0] = job;
    }

    function _two(Escrow.Job memory a, Escrow.Job memory b) internal pure returns (Escrow.Job[] memory jobs) {
        jobs = new Escrow.Job[](2);
        (jobs[0], jobs[1]) = (a, b);
    }

    function _amounts(uint256 a) internal pure returns (uint96[] memory amounts) {
        amounts = new uint96[](1);
        amounts[0] = uint96(a);
    }

    function _amounts(uint256 a, uint256 b) internal pure returns (uint96[] memory amounts) {
        amounts = new uint96[](2);
        (amounts[0], amounts[1]) = (uint96(a), uint96(b));
    }

    function _fund(Escrow.Job memory job) internal returns (bytes32) {
        return _fund(_one(job))[0];
    }

    function _fund(Escrow.Job[] memory jobs) internal returns (bytes32[] memory) {
        vm.prank(jobs[0].buyer);
        escrow.fund(jobs);
        return _ids(jobs);
    }

    function _ids(Escrow.Job[] memory jobs) internal view returns (bytes32[] memory ids) {
        ids = new bytes32[](jobs.length);
        for (uint256 i = 0; i < jobs.length; ++i) {
            ids[i] = keccak256(abi.encode(block.chainid, address(escrow), jobs[i]));
        }
    }

    /// @dev What is signed, by EIP-712's own words.
    function _acceptance(bytes32[] memory ids, uint96[] memory cumulatives, uint64 expiry)
        internal
        view
        returns (bytes32)
    {
        bytes memory amounts;
        for (uint256 i = 0; i < cumulatives.length; ++i) {
            amounts = abi.encodePacked(amounts, uint256(cumulatives[i]));
        }
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Rodagila"),
                keccak256("1"),
                block.chainid,
                address(escrow)
            )
        );
        bytes32 what = keccak256(
            abi.encode(
                keccak256("Acceptance(bytes32[] jobs,uint96[] cumulatives,uint64 expiry)"),
                keccak256(abi.encodePacked(ids)),
                keccak256(amounts),
                expiry
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, what));
    }

    /// @dev The buyer's approval, signed by `key`.
    function _byBuyer(uint256 key, Escrow.Job[] memory jobs, uint96[] memory cumulatives, uint64 expiry)
        internal
        view
        returns (bytes memory)
    {
        address[] memory signers = new address[](1);
        bytes[] memory signatures = new bytes[](1);
        signers[0] = jobs[0].buyer;
        signatures[0] = _sign(key, _acceptance(_ids(jobs), cumulatives, expiry));
        return abi.encode(0, new address[](0), signers, signatures);
    }

    /// @dev The approval of the evaluators in `who`, for a panel of two of the three or for stakes.
    function _byEvaluators(uint256[] memory who, Escrow.Job[] memory jobs, uint96[] memory cumulatives)
        internal
        view
        returns (bytes memory)
    {
        address[] memory signers = new address[](who.length);
        bytes[] memory signatures = new bytes[](who.length);
        bytes32 digest = _acceptance(_ids(jobs), cumulatives, FOREVER);
        for (uint256 i = 0; i < who.length; ++i) {
            (signers[i], signatures[i]) = (_evaluator(who[i]), _sign(keys[who[i]], digest));
        }
        bool panel = jobs[0].kind == PANEL;
        return abi.encode(panel ? 2 : 0, panel ? _members() : new address[](0), signers, signatures);
    }

    function _who(uint256 a) internal pure returns (uint256[] memory who) {
        who = new uint256[](1);
        who[0] = a;
    }

    function _who(uint256 a, uint256 b) internal pure returns (uint256[] memory who) {
        who = new uint256[](2);
        (who[0], who[1]) = (a, b);
    }

    /// @dev Anyone shows what the buyer accepted of one job.
    function _claim(Escrow.Job memory job, uint256 cumulative) internal {
        bytes memory approval = _byBuyer(BUYER_KEY, _one(job), _amounts(cumulative), FOREVER);
        vm.prank(stranger);
        escrow.claim(_one(job), _amounts(cumulative), FOREVER, approval);
    }

    function _claimByEvaluators(uint256[] memory who, Escrow.Job memory job, uint256 cumulative) internal {
        bytes memory approval = _byEvaluators(who, _one(job), _amounts(cumulative));
        vm.prank(stranger);
        escrow.claim(_one(job), _amounts(cumulative), FOREVER, approval);
    }

    function _deliver(Escrow.Job memory job, uint32 units, bytes memory answers) internal {
        vm.prank(provider);
        escrow.deliver(job, units, answers);
    }

    function _sample(Escrow.Job memory job, bytes memory positions) internal {
        vm.prank(buyer);
        escrow.sample(job, positions);
    }

    function _assertPaid(uint256 paid, uint256 refunded) internal view {
        vm.assertEq(token.balanceOf(provider), MONEY + paid, "provider");
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT + refunded, "buyer");
        vm.assertEq(token.balanceOf(address(escrow)), AMOUNT - paid - refunded, "held");
    }

    function _assertStanding(bytes32 id, Escrow.Stage stage, uint256 since, uint256 units, uint256 paid) internal view {
        Escrow.Standing memory standing = escrow.standingOf(id);
        vm.assertEq(uint256(standing.stage), uint256(stage), "stage");
        vm.assertEq(standing.since, since, "since");
        vm.assertEq(standing.units, units, "units");
        vm.assertEq(standing.paid, paid, "paid");
    }

    function _wrongStage(bytes32 id, Escrow.Stage stage, Escrow.Stage required) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Escrow.WrongStage.selector, id, stage, required);
    }

    function _outOfBounds(uint256 given, uint256 least, uint256 most) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Escrow.OutOfBounds.selector, given, least, most);
    }
}
