// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Bonds} from "../src/Bonds.sol";
import {DaoGovernor} from "../src/DaoGovernor.sol";
import {DaoTimelock} from "../src/DaoTimelock.sol";
import {DaoToken} from "../src/DaoToken.sol";
import {IBonds} from "../src/IBonds.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IRewards} from "../src/IRewards.sol";
import {PayToken} from "../src/PayToken.sol";
import {Registry} from "../src/Registry.sol";
import {Rewards} from "../src/Rewards.sol";
import {Treasury} from "../src/Treasury.sol";
import {Cheats} from "./Cheats.sol";

/// @notice One DAO on the embedded chain, deployed as a launch does it, with money at its operator, two owners and a
/// stranger.
abstract contract DaoFixture is Cheats {
    bytes32 internal constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 internal constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    uint256 internal constant ADA_KEY = 0xADA;
    uint256 internal constant BOB_KEY = 0xB0B;
    uint64 internal constant WINDOW = 1 days;
    uint256 internal constant ROOT_BOND = 10e6;
    uint256 internal constant START = 1_700_000_000;
    bytes32 internal constant POLICY = keccak256("policy");

    uint128 internal constant CAP = 1_000_000e18;
    uint128 internal constant FOUNDERS = 100_000e18;
    uint128 internal constant PER_TURN = 10_000e18;
    uint32 internal constant HALVING = 4;

    address internal immutable operator = address(0x0BE12A);
    address internal immutable stranger = address(0x57A);
    address internal immutable founder = address(0xF0);
    address internal immutable ada = vm.addr(ADA_KEY);
    address internal immutable bob = vm.addr(BOB_KEY);

    PayToken internal token;
    DaoToken internal daoToken;
    DaoTimelock internal timelock;
    DaoGovernor internal governor;
    Registry internal registry;
    Treasury internal treasury;
    Bonds internal bonds;
    Rewards internal rewards;

    function setUp() public virtual {
        vm.chainId(0x726f6461);
        vm.warp(START);
        token = new PayToken(address(this));
        _launch(WINDOW, ROOT_BOND);
        address[4] memory rich = [operator, stranger, ada, bob];
        for (uint256 i = 0; i < rich.length; ++i) {
            token.drip(rich[i], 1_000_000e6);
            vm.prank(rich[i]);
            token.approve(address(bonds), type(uint256).max);
        }
        token.drip(address(treasury), 1_000_000e6);
    }

    function _next(uint256 ahead) private view returns (address) {
        return vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + ahead);
    }

    /// @dev Contracts that name each other are told each other's addresses before they are there.
    function _launch(uint64 window, uint256 rootBond) internal {
        IPayToken money = IPayToken(address(token));
        (address governor_, address treasury_, address bonds_, address rewards_) =
            (_next(2), _next(4), _next(5), _next(6));
        timelock = new DaoTimelock(2 days, governor_);
        DaoToken.Supply memory supply = DaoToken.Supply(CAP, FOUNDERS, PER_TURN, HALVING);
        daoToken = new DaoToken("Words", "WRD", supply, founder, IRewards(rewards_));
        governor = new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(1 days, 3 days, 1_000e18, 4));
        registry = new Registry(address(timelock), operator, POLICY);
        treasury = new Treasury(address(timelock), registry, money, IRewards(rewards_));
        bonds = new Bonds(money, treasury_, IRewards(rewards_));
        rewards = new Rewards(address(timelock), registry, money, treasury_, IBonds(bonds_), daoToken, window, rootBond);
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
    }

    function _signature(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(structHash));
        return abi.encodePacked(r, s, v);
    }

    function _bondSignature(uint256 key, bytes32 id, uint256 amount) internal view returns (bytes memory) {
        return
            _signature(
                key, keccak256(abi.encode(RECEIVE, vm.addr(key), address(bonds), amount, 0, type(uint256).max, id))
            );
    }

    function _postBond(uint256 key, bytes32 id, uint256 amount) internal {
        bytes memory signature = _bondSignature(key, id, amount);
        bonds.postBond(id, vm.addr(key), amount, 0, type(uint256).max, signature);
    }

    function _fund(uint64 turn, uint256 amount) internal {
        vm.prank(operator);
        treasury.fundPool(turn, amount);
    }

    /// @dev A turn whose tree pays ada and bob these cumulative amounts, and slashes nobody.
    function _post(uint64 turn, uint256 adaTotal, uint256 bobTotal, uint256 paid) internal {
        bytes32 root = _pair(rewards.payoutLeaf(turn, ada, adaTotal), rewards.payoutLeaf(turn, bob, bobTotal));
        _postRoots(turn, root, 0, paid);
    }

    function _postRoots(uint64 turn, bytes32 payoutRoot, bytes32 slashRoot, uint256 paid) internal {
        _postAll(turn, payoutRoot, slashRoot, 0, paid, 0);
    }

    function _postAll(
        uint64 turn,
        bytes32 payoutRoot,
        bytes32 slashRoot,
        bytes32 tokenRoot,
        uint256 paid,
        uint256 issued
    ) internal {
        vm.prank(operator);
        rewards.postRoot(turn, payoutRoot, slashRoot, tokenRoot, paid, paid, issued, keccak256("public"));
    }

    function _passWindow() internal {
        vm.warp(block.timestamp + WINDOW);
    }

    /// @dev Waits for the window of `turn` and makes its roots final.
    function _finish(uint64 turn) internal {
        _passWindow();
        rewards.finalize(turn);
    }

    function _pair(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return Hashes.commutativeKeccak256(left, right);
    }

    function _one(bytes32 sibling) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = sibling;
    }
}
